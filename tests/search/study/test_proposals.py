from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import optuna
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState, create_trial

from search.study import proposals
from search.study.proposals import optuna_result, propose, searched_params
from search.study.samplers import make_sampler
from search.study.settings import FidelityPolicy, StudySettings
from search.study.study import CampaignStudy
from search.study.trial_record import TrialRecord, TrialStatus
from tests.helpers.controllers import SETTINGS
from tests.helpers.trial_records import epoch_record, params

PAUSES = (1, 3)


def test_the_sampler_sees_paused_trials_as_stopped_at_their_last_rung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[tuple[TrialState, float | None]]] = []

    class Watching(RandomSampler):
        """Notes which trials it may learn from."""

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
            others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
            seen.append([(other.state, max(other.intermediate_values, default=None)) for other in others])
            return super().sample_relative(study, trial, search_space)

    monkeypatch.setattr(proposals, "make_sampler", lambda *_: Watching(seed=0))
    of_study = replace(SETTINGS, sampler="tpe", policy="pruned", pauses=PAUSES)
    study = CampaignStudy(tmp_path / "journal.log", of_study)
    for number in range(3):
        study.ask()
        for epoch in range(1, (1, 4, 0)[number] + 1):
            study.report(number, epoch_record(epoch, 0.5))
    study.ask()
    study.close()
    assert seen[-1] == [(TrialState.PRUNED, 1), (TrialState.PRUNED, 3), (TrialState.RUNNING, None)]


@pytest.mark.parametrize(
    ("outcome", "value", "policy", "result"),
    [
        ("complete", 0.5, "pruned", (TrialState.COMPLETE, 0.5)),
        ("stopped", 0.5, "complete", (TrialState.COMPLETE, 0.5)),
        ("stopped", 0.5, "pruned", (TrialState.PRUNED, None)),
        ("stopped", 0.5, "full_only", (TrialState.FAIL, None)),
        ("failed", 0.5, "complete", (TrialState.FAIL, None)),
        ("stopped", float("nan"), "complete", (TrialState.FAIL, None)),
    ],
)
def test_what_optuna_learns_of_a_trial_that_ended(
    outcome: TrialStatus, value: float, policy: FidelityPolicy, result: tuple[TrialState, float | None]
) -> None:
    record = TrialRecord(0, {}, "sampler", {1: epoch_record(1, value)}, outcome=outcome)
    assert optuna_result(record, policy) == result


def _propose_by_copy(study: optuna.Study, settings: StudySettings, number: int) -> dict[str, Any]:
    """Ask about a real copy of the study, in which each paused trial has ended at its last rung."""
    copy = optuna.create_study(direction="maximize", sampler=make_sampler(settings.sampler, settings.seed, number))
    for trial in study.get_trials(deepcopy=False):
        rung = max((epoch for epoch in PAUSES if epoch in trial.intermediate_values), default=None)
        if trial.state == TrialState.RUNNING and rung is not None:
            values = {epoch: value for epoch, value in trial.intermediate_values.items() if epoch <= rung}
            state, value = optuna_result(_stopped(values[rung]), settings.policy)
            trial = create_trial(
                state=state,
                value=value,
                params=trial.params,
                distributions=trial.distributions,
                intermediate_values=values,
            )
        copy.add_trial(trial)
    return copy.ask(dict(settings.distributions)).params


def _stopped(value: float) -> TrialRecord:
    return TrialRecord(0, {}, "sampler", {1: epoch_record(1, value)}, outcome="stopped")


@pytest.mark.parametrize("policy", get_args(FidelityPolicy))
@pytest.mark.parametrize(("sampler", "trials"), [("tpe", 40), ("gp", 14)])
def test_proposals_beside_paused_trials_are_those_for_a_copy_of_the_study(
    sampler: Any, trials: int, policy: Any
) -> None:
    settings = replace(SETTINGS, sampler=sampler, policy=policy, pauses=PAUSES)
    rng = np.random.default_rng(0)
    study = optuna.create_study(direction="maximize")
    for number in range(trials):
        expected = _propose_by_copy(study, settings, number)
        trial = propose(study, settings, number)
        assert trial.params == expected
        epochs = int(rng.integers(0, 5))
        for epoch in range(1, epochs + 1):
            trial.report(float(rng.random()), epoch)
        if epochs == 4:
            study.tell(trial, float(rng.random()))
        elif epochs and rng.random() < 0.3:
            study.tell(trial, state=TrialState.PRUNED)
    states = {trial.state for trial in study.get_trials(deepcopy=False)}
    assert states == {TrialState.RUNNING, TrialState.PRUNED, TrialState.COMPLETE}


def test_a_trial_of_an_earlier_campaign_has_what_its_conditions_let_it_search() -> None:
    conditions = {"mixup_alpha": {"batch_size": (64.0,)}}
    settings = replace(SETTINGS, conditions=conditions, base_values={"mixup_alpha": 0.0})
    assert searched_params(params(0), settings).keys() == SETTINGS.distributions.keys() - {"mixup_alpha"}
    assert searched_params({**params(0), "batch_size": 64}, settings).keys() == SETTINGS.distributions.keys()
