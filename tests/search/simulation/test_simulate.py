from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from search.engine.simulated import SimulatedWorkers
from search.simulation.problem import regret
from search.simulation.simulate import Strategy, conclude, pick, run_search, simulate
from search.study.controller import Budget
from search.study.trial_record import EpochRecord, TrialAssignment, TrialRecord
from tests.helpers.trial_records import epoch_record
from tests.search.simulation.conftest import Valley


@pytest.mark.parametrize("asha", ["stopping", "promotion"])
def test_the_model_based_sampler_finds_the_best_point(asha: Any) -> None:
    strategy = Strategy("tpe", asha=asha, grace=1)
    found = simulate(Valley(), strategy, SimulatedWorkers(2), Budget(trials=60), seed=1)
    assert found.trials == 60
    assert found.picked is not None
    assert found.quality == Valley().quality(found.picked)
    assert found.regret == regret(Valley(), found.quality) < 0.01
    assert found.epochs < 60 * 9
    assert found.worker_hours == pytest.approx(found.epochs / 3600)
    assert found.hours < found.worker_hours
    assert simulate(Valley(), strategy, SimulatedWorkers(2), Budget(trials=60), seed=1) == found
    assert simulate(Valley(), strategy, SimulatedWorkers(2), Budget(trials=60), seed=2) != found


def test_the_winner_is_complete_the_best_and_the_earliest_of_equal_ones() -> None:
    trials = [
        TrialRecord(number, {}, "sampler", {1: epoch_record(1, value)}, outcome=outcome)
        for number, (value, outcome) in enumerate(
            [(0.9, "stopped"), (0.5, "complete"), (0.7, "complete"), (0.7, "complete"), (math.nan, "failed")]
        )
    ]
    found = pick(trials)
    assert found is not None
    assert found.number == 2
    assert pick(trials[:1]) is None


def test_a_model_over_all_trials_can_pick_the_winner() -> None:
    trials = [TrialRecord(n, {}, "sampler", {1: epoch_record(1, 0.5)}, outcome="complete") for n in range(3)]
    found = pick(trials, {0: 0.4, 1: 0.6, 2: 0.6})
    assert found is not None
    assert found.number == 1


def test_a_search_is_concluded_by_value_or_by_posterior_mean() -> None:
    by_value = Strategy("random", grace=9, startup="sobol")
    search = run_search(Noisy(), by_value, SimulatedWorkers(2), Budget(trials=60), seed=1)
    assert simulate(Noisy(), by_value, SimulatedWorkers(2), Budget(trials=60), seed=1) == conclude(
        Noisy(), by_value, search
    )
    by_model = conclude(Noisy(), replace(by_value, pick="posterior"), search)
    assert by_model.regret < conclude(Noisy(), by_value, search).regret
    assert by_model.epochs == sum(len(trial.epochs) for trial in search.trials)
    at_random = run_search(Noisy(), replace(by_value, startup="random"), SimulatedWorkers(2), Budget(trials=60), seed=1)
    assert at_random.trials[0].params != search.trials[0].params


class Noisy(Valley):
    """A valley whose epochs of a trial all have the same luck."""

    def epoch(self, trial: TrialAssignment, epoch: int) -> EpochRecord:
        record = super().epoch(trial, epoch)
        luck = 0.1 * float(np.random.default_rng(trial.number).normal())
        return replace(record, value=record.value + luck, score=record.score + luck)
