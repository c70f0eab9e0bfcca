from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from search.engine.simulated import SimulatedEngine, SimulatedWorkers
from search.study.controller import Budget, Controller, Rules
from search.study.study import CampaignStudy
from search.study.trial_record import EpochRecord, TrialAssignment
from tests.helpers.controllers import SETTINGS
from tests.helpers.trial_records import epoch_record

RULES = Rules(max_epochs=4, grace=4, reduction=2, concurrency=100)


class Curves:
    """Each epoch of a trial takes ten seconds, and a later trial is better."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def epoch(self, trial: TrialAssignment, epoch: int) -> EpochRecord:
        self.asked.append((trial.number, epoch))
        return replace(epoch_record(epoch, 0.1 * trial.number), seconds=10.0)


def _run(
    workers: SimulatedWorkers, budget: Budget, rules: Rules = RULES, seed: int = 0
) -> tuple[SimulatedEngine, Controller, Curves]:
    curves = Curves()
    engine = SimulatedEngine(curves, workers, seed)
    study = CampaignStudy(None, SETTINGS, clock=engine.clock)
    controller = Controller(study, replace(rules, concurrency=workers.count), budget)
    engine.run_trials(None, None, controller, Path(), lambda: None, workers.count)
    assert controller.failure is None
    return engine, controller, curves


@pytest.mark.parametrize(("workers", "seconds"), [(1, 400.0), (2, 200.0), (3, 160.0), (10, 40.0), (99, 40.0)])
def test_workers_share_the_trials(workers: int, seconds: float) -> None:
    engine, controller, curves = _run(SimulatedWorkers(workers), Budget(trials=10))
    assert engine.now == seconds
    assert engine.busy_seconds == 400.0
    assert sorted(curves.asked) == [(trial, epoch) for trial in range(10) for epoch in range(1, 5)]
    assert all(trial.outcome == "complete" for trial in controller.study.trials.values())


def test_starting_a_trial_takes_time() -> None:
    assert _run(SimulatedWorkers(1, start_seconds=5.0), Budget(trials=2))[0].now == 90.0


def test_the_hours_of_a_budget_are_virtual() -> None:
    engine, controller, _ = _run(SimulatedWorkers(1), Budget(trials=1000, hours=0.1))
    assert (len(controller.study.trials), controller.end_reason) == (9, "hours")
    assert engine.now == 360.0


def test_a_lost_worker_costs_the_epoch_that_it_trained_and_the_time_of_its_replacement() -> None:
    workers = SimulatedWorkers(4, lost_every_hours=0.02, replacement_seconds=30.0)
    engine, controller, curves = _run(workers, Budget(trials=20))
    assert engine.losses > 3
    assert len(curves.asked) == 80 + engine.losses
    assert 800.0 < engine.busy_seconds < 10.0 * len(curves.asked)  # a lost epoch counts up to the loss
    for trial in controller.study.trials.values():
        assert (trial.outcome, sorted(trial.epochs)) == ("complete", [1, 2, 3, 4])
    assert sum(len(trial.deaths) for trial in controller.study.trials.values()) == engine.losses
    assert engine.now > _run(replace(workers, replacement_seconds=0.0), Budget(trials=20))[0].now
    assert _run(workers, Budget(trials=20))[0].now == engine.now  # the same seed, the same losses
    assert _run(workers, Budget(trials=20), seed=1)[0].now != engine.now


def test_one_worker_that_is_lost_is_waited_for() -> None:
    engine, controller, _ = _run(SimulatedWorkers(1, lost_every_hours=0.02), Budget(trials=3))
    assert engine.losses > 0
    assert all(trial.outcome == "complete" for trial in controller.study.trials.values())
    assert engine.now > 120.0 + 120.0 * engine.losses


@pytest.mark.parametrize("variant", ["stopping", "promotion"])
def test_weak_trials_end_early(variant: str) -> None:
    rules = replace(RULES, grace=1, max_epochs=9, reduction=3, variant=variant)
    engine, controller, curves = _run(SimulatedWorkers(3), Budget(trials=27), rules)
    assert len(curves.asked) < 27 * 9
    outcomes = [trial.outcome for trial in controller.study.trials.values()]
    assert "complete" in outcomes
    assert None not in outcomes
    assert math.isclose(engine.busy_seconds, 10.0 * len(curves.asked))
