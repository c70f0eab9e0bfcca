from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from search.study import proposals
from search.study.proposals import optuna_result
from search.study.settings import FidelityPolicy
from search.study.study import CampaignStudy
from search.study.trial_record import TrialRecord, TrialStatus
from tests.helpers.controllers import SETTINGS
from tests.helpers.trial_records import epoch_record

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
