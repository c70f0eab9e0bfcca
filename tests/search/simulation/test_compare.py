from __future__ import annotations

import numpy as np
import pytest

from search.engine.simulated import SimulatedWorkers
from search.simulation.compare import STRATEGIES, compare
from search.simulation.simulate import Strategy, simulate
from search.study.controller import Budget
from tests.search.simulation.conftest import Valley


def test_each_strategy_is_simulated_with_each_number_of_workers_and_all_seeds() -> None:
    strategies = [Strategy("random", grace=1), Strategy("tpe", asha="promotion", grace=1)]
    workers = [SimulatedWorkers(1), SimulatedWorkers(4)]
    asked: list[tuple[str, int]] = []

    def make_problem(fidelity: str, seed: int) -> Valley:
        asked.append((fidelity, seed))
        return Valley()

    results = list(compare(make_problem, strategies, workers, Budget(trials=12), seeds=3))
    assert [(result.strategy, result.workers) for result in results] == [
        (strategy, crew.count) for crew in workers for strategy in strategies
    ]
    assert asked == [("epochs", seed) for _ in range(4) for seed in range(3)]
    expected = [simulate(Valley(), strategies[0], workers[0], Budget(trials=12), seed) for seed in range(3)]
    assert list(results[0].campaigns) == expected
    assert results[0].mean("regret") == pytest.approx(np.mean([campaign.regret for campaign in expected]))
    low, high = results[0].interval("regret")
    assert low <= results[0].mean("regret") <= high
    assert low < high
    assert results[2].mean("hours") < results[0].mean("hours")


def test_the_strategies_differ_in_name() -> None:
    assert len({strategy.name for strategy in STRATEGIES}) == len(STRATEGIES)
