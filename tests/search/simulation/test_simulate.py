from __future__ import annotations

import math
from typing import Any

import pytest

from search.engine.simulated import SimulatedWorkers
from search.simulation.problem import regret
from search.simulation.simulate import Strategy, pick, simulate
from search.study.controller import Budget
from search.study.trial_record import TrialRecord
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
