from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.tune.schedulers import TrialScheduler

from search.rungs import make_scheduler


@pytest.mark.parametrize(
    ("grace", "reduction", "max_epochs", "rungs"),
    [(2, 3, 18, [2, 6]), (1, 3, 3, [1]), (2, 3, 19, [2, 6, 18]), (5, 2, 5, []), (1, 2, 9, [1, 2, 4, 8])],
)
def test_rays_rungs_are_exact_integer_multiples(grace: int, reduction: int, max_epochs: int, rungs: list[int]) -> None:
    # A weak trial behind strong ones shows where it is judged: wherever it would be stopped.
    judged = []
    for epoch in range(1, max_epochs):
        scheduler = make_scheduler(grace, reduction, max_epochs)
        trials = [SimpleNamespace(trial_id=str(number)) for number in range(4)]
        for trial in trials:
            scheduler.on_trial_add(None, trial)
        for trial in trials[1:]:
            scheduler.on_trial_result(None, trial, {"epoch": epoch, "value": 0.9})
        if scheduler.on_trial_result(None, trials[0], {"epoch": epoch, "value": 0.1}) == TrialScheduler.STOP:
            judged.append(epoch)
    # Asked for the first time at an epoch, ASHA judges by the highest rung at or below it.
    assert judged == list(range(rungs[0], max_epochs) if rungs else [])


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
