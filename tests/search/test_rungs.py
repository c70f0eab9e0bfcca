from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler

from search.rungs import make_scheduler, rung_epochs


@pytest.mark.parametrize(
    ("grace", "reduction", "max_epochs", "rungs"),
    [(2, 3, 18, [2, 6]), (1, 3, 3, [1]), (2, 3, 19, [2, 6, 18]), (5, 2, 5, []), (1, 2, 9, [1, 2, 4, 8])],
)
def test_rungs_are_exact_integer_multiples(grace: int, reduction: int, max_epochs: int, rungs: list[int]) -> None:
    assert rung_epochs(grace, reduction, max_epochs) == rungs


def test_the_weak_are_stopped_at_a_rung_and_all_at_max_epochs() -> None:
    scheduler = make_scheduler(grace=2, reduction=3, max_epochs=18)
    trials = [SimpleNamespace(trial_id=str(number)) for number in range(3)]
    for trial in trials:
        scheduler.on_trial_add(None, trial)
    decisions = {}
    for trial, value in zip(trials, (0.5, 0.4, 0.6), strict=True):
        assert scheduler.on_trial_result(None, trial, {"epoch": 1, "value": value}) == TrialScheduler.CONTINUE
        decisions[value] = scheduler.on_trial_result(None, trial, {"epoch": 2, "value": value})
    assert decisions == {0.5: TrialScheduler.CONTINUE, 0.4: TrialScheduler.STOP, 0.6: TrialScheduler.CONTINUE}
    assert scheduler.on_trial_result(None, trials[2], {"epoch": 18, "value": 0.6}) == TrialScheduler.STOP
