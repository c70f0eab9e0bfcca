"""What every sampler keeps under every policy. A new one is added to the parameters, and is held to all of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import optuna
import pytest
from optuna.trial import TrialState

from core.config import HYPERPARAMETER_NAMES
from core.errors import ConfigError
from search.study.controller import Budget, Controller, Rules
from search.study.journal.file import read_committed
from search.study.journal.records import read_records
from search.study.replay import replay_study
from search.study.settings import FidelityPolicy, SamplerKind, StudySettings
from search.study.space import PowerRange, Range, SpaceConfig
from search.study.study import CampaignStudy, copy_study, load_study, read_trials
from search.study.trial_record import TrialRecord
from tests.helpers.trial_records import epoch_record, params

RULES = Rules(max_epochs=4, grace=1, reduction=2, concurrency=1)
TRIALS = 16
SPACE = SpaceConfig()
CONDITIONAL = SpaceConfig(
    batch_size=PowerRange(low=64, high=512, log2=True),
    mixup_alpha=Range(low=0.05, high=0.4, only_if={"batch_size": (256, 512)}),
)


def _value(log: TrialRecord, epoch: int) -> float:
    """A made-up training: best near a learning rate of 3e-4 and little dropout, better with each epoch."""
    away = abs(math.log10(log.params["learning_rate"]) - math.log10(3e-4)) + log.params["dropout"]
    return 0.6 - 0.2 * away + 0.02 * epoch


class StudyContract:
    """Inherit, give the two settings, and every test below is yours."""

    sampler: SamplerKind
    policy: FidelityPolicy
    space: SpaceConfig = SPACE
    more: Mapping[str, Any] = {}

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "journal.log"

    @property
    def settings(self) -> StudySettings:
        return StudySettings("c", self.space.distributions(), self.sampler, self.policy, seed=3, **self.more)

    def run(self, path: Path, trials: int = TRIALS, interrupt: int | None = None) -> list[TrialRecord]:
        """Run a campaign of made-up trainings; with `interrupt`, begin anew from the journal every so many results."""
        results = 0
        while True:
            study = CampaignStudy(path, self.settings)
            controller = Controller(study, RULES, Budget(trials))
            try:
                while isinstance(log := controller.next_trial(), TrialRecord):
                    for epoch in range(log.last_epoch + 1, RULES.max_epochs + 1):
                        results += 1
                        if interrupt and results % interrupt == 0:
                            raise InterruptedError
                        if controller.on_report(log.number, epoch_record(epoch, _value(log, epoch))) == "stop":
                            break
                return list(study.trials.values())
            except InterruptedError:
                continue
            finally:
                study.close()

    def test_the_same_seed_proposes_the_same(self, path: Path, tmp_path: Path) -> None:
        first = self.run(path)
        again = self.run(tmp_path / "again.log")
        assert [log.params for log in again] == [log.params for log in first]

    def test_proposals_lie_in_the_space(self, path: Path) -> None:
        for log in self.run(path):
            assert tuple(log.params) == HYPERPARAMETER_NAMES
            assert self.space.contains(log.params)

    @pytest.mark.parametrize("interrupt", [2, 5])
    def test_an_interrupted_campaign_is_the_same_campaign(self, path: Path, tmp_path: Path, interrupt: int) -> None:
        whole = self.run(path)
        pieces = self.run(tmp_path / "pieces.log", interrupt=interrupt)
        assert len(pieces) == TRIALS
        for log, expected in zip(pieces, whole, strict=True):
            assert (log.params, log.epochs, log.outcome) == (expected.params, expected.epochs, expected.outcome)
        assert any(log.attempts > 1 for log in pieces)

    def test_all_that_was_known_is_read_back_from_the_journal(self, path: Path) -> None:
        logs = self.run(path)
        assert read_trials(load_study(path, "c")) == logs

    def test_a_replay_makes_every_proposal_again(self, path: Path) -> None:
        self.run(path, interrupt=5)
        found = replay_study(path, self.settings)
        assert (found.proposals, found.equal, found.first_difference) == (TRIALS, TRIALS, None)

    def test_a_replay_finds_a_changed_value(self, path: Path) -> None:
        self.run(path)
        found = replay_study(path, replace(self.settings, seed=4))
        assert found.first_difference is not None
        assert found.first_difference[0] == 0

    def test_a_stopped_trial_reaches_optuna_as_the_policy_says(self, path: Path) -> None:
        logs = self.run(path)
        stored = load_study(path, "c").trials
        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "full_only": TrialState.FAIL}
        stopped = [log for log in logs if log.outcome == "stopped"]
        assert stopped
        assert len(stopped) < TRIALS
        for log in logs:
            expected = state[self.policy] if log.outcome == "stopped" else TrialState.COMPLETE
            assert stored[log.number].state == expected
            if expected == TrialState.COMPLETE:
                assert stored[log.number].value == log.value

    def test_the_sampler_learns_nothing_from_a_failed_trial(self, path: Path) -> None:
        study = CampaignStudy(path, self.settings)
        log = study.ask()
        study.end(log.number, "failed", "NonFiniteLossError")
        study.end(log.number, "complete", "")  # the first outcome stands
        assert load_study(path, "c").trials[0].state == TrialState.FAIL
        study.close()

    def test_values_asked_for_come_first_and_are_named(self, path: Path) -> None:
        study = CampaignStudy(path, self.settings)
        wanted = [("preset a", params(0)), ("winner of b", params(1))]
        study.enqueue_trials(wanted)
        logs = [study.ask() for _ in range(3)]
        assert [(log.origin, log.params) for log in logs[:2]] == wanted
        assert logs[2].origin == "sampler"
        study.close()
        assert replay_study(path, self.settings).equal == 3

    def test_earlier_trials_are_given_to_the_sampler_and_not_counted(self, path: Path, tmp_path: Path) -> None:
        earlier = self.run(tmp_path / "earlier.log")
        study = CampaignStudy(path, self.settings)
        study.add_earlier_trials("earlier", earlier)
        assert study.trials == {}
        log = study.ask()
        study.close()
        assert log.number == TRIALS
        assert [found.number for found in read_trials(load_study(path, "c"))] == [TRIALS]
        assert replay_study(path, self.settings).equal == 1

    def test_the_study_can_be_copied_into_a_database(self, path: Path, tmp_path: Path) -> None:
        logs = self.run(path)
        url = f"sqlite:///{tmp_path}/copy.db"
        assert copy_study(path, "c", url) == TRIALS
        copied = optuna.load_study(study_name="c", storage=url)
        assert [trial.params for trial in copied.trials] == [log.params for log in logs]
        with pytest.raises(ConfigError, match="holds no study named c"):
            copy_study(path, "c", url)


class TestSobolStart(StudyContract):
    sampler = "tpe"
    policy = "complete"
    more = {"startup": "sobol"}  # noqa: RUF012


class TestConditionalSpace(StudyContract):
    """A space with a power of 2 and a hyperparameter that is searched only under a condition on it."""

    sampler = "tpe"
    policy = "complete"
    space = CONDITIONAL
    more = {  # noqa: RUF012
        "startup": "sobol",
        "conditions": CONDITIONAL.conditions(),
        "base_values": {"mixup_alpha": 0.0},
    }

    def test_proposals_lie_in_the_space(self, path: Path) -> None:
        trials = self.run(path)
        for trial in trials:
            assert trial.params.keys() == set(HYPERPARAMETER_NAMES)
            assert CONDITIONAL.is_of(trial.params, self.settings.base_values)
            is_searched = trial.params["batch_size"] >= 256
            assert trial.not_searched == (() if is_searched else ("mixup_alpha",))
            assert (trial.params["mixup_alpha"] > 0) == is_searched
        assert {bool(trial.not_searched) for trial in trials} == {False, True}
        lines, _ = read_committed(path)
        assert read_records(lines, "c") == trials

    def test_the_study_can_be_copied_into_a_database(self, path: Path, tmp_path: Path) -> None:
        trials = self.run(path)
        url = f"sqlite:///{tmp_path}/copy.db"
        assert copy_study(path, "c", url) == TRIALS
        copied = optuna.load_study(study_name="c", storage=url).trials
        assert [2 ** trial.params["log2_batch_size"] for trial in copied] == [
            trial.params["batch_size"] for trial in trials
        ]


class TestConditionalSpaceWithPauses(TestConditionalSpace):
    policy = "pruned"
    more = {**TestConditionalSpace.more, "pauses": (1, 2, 4)}  # noqa: RUF012


def _contract(sampler: SamplerKind, policy: FidelityPolicy) -> type[StudyContract]:
    return type(f"Test_{sampler}_{policy}", (StudyContract,), {"sampler": sampler, "policy": policy})


for _sampler in get_args(SamplerKind):
    for _policy in get_args(FidelityPolicy):
        _made = _contract(_sampler, _policy)
        globals()[_made.__name__] = _made


def test_a_secret_in_a_url_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    CampaignStudy(path, StudySettings("c", SPACE.distributions(), "random", "complete", 0)).close()
    with pytest.raises(ConfigError) as caught:
        copy_study(path, "c", "mysql://me:secret@nowhere/db")
    assert "secret" not in str(caught.value)


def test_another_programs_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    settings: Any = StudySettings("c", SPACE.distributions(), "random", "complete", 0)
    path.write_text('{"hello": 1}\n')
    with pytest.raises(ConfigError, match="damaged at line 1"):
        CampaignStudy(path, settings)
    with pytest.raises(ConfigError, match="damaged at line 1"):
        load_study(path, "c")
    path.unlink()
    CampaignStudy(path, replace(settings, name="other")).close()
    with pytest.raises(ConfigError, match="not a journal of campaign c"):
        CampaignStudy(path, settings)
    with pytest.raises(ConfigError, match="not a journal of campaign c"):
        load_study(path, "c")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"distributions": SpaceConfig(dropout=Range(low=0.0, high=0.3)).distributions()}, "space"),
        ({"sampler": "tpe"}, "sampler"),
        ({"seed": 1}, "sampler"),
        ({"policy": "pruned"}, "policy"),
        ({"startup": "sobol"}, "sampler"),
        ({"conditions": CONDITIONAL.conditions()}, "conditions"),
    ],
)
def test_a_journal_cannot_be_continued_with_other_settings(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    path = tmp_path / "journal.log"
    settings = StudySettings("c", SPACE.distributions(), "random", "complete", 0)
    CampaignStudy(path, settings).close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=f"The {said} of campaign c is not the one that its journal was begun with"):
        CampaignStudy(path, replace(settings, **change))
    assert path.read_bytes() == before
    CampaignStudy(path, settings).close()


def test_an_emptied_journal_cannot_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    settings = StudySettings("c", SPACE.distributions(), "random", "complete", 0)
    CampaignStudy(path, settings).close()
    CampaignStudy(path, settings, must_exist=True).close()
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="journal is empty"):
        CampaignStudy(path, settings, must_exist=True)
    assert path.read_bytes() == b""
