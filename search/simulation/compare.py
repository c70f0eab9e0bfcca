"""Compares strategies on many simulated campaigns each: what they find, how long they take, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from search.engine.simulated import SimulatedWorkers
from search.simulation.problem import Problem
from search.simulation.simulate import Fidelity, SimulatedCampaign, Strategy, simulate
from search.study.controller import Budget

STRATEGIES = (
    Strategy("random", "full_only"),
    Strategy("tpe", "complete"),
    Strategy("tpe", "pruned"),
    Strategy("random", "full_only", "promotion"),
    Strategy("tpe", "pruned", "promotion"),
    Strategy("random", "full_only", "promotion", grace=1, fidelity="cells"),
    Strategy("tpe", "pruned", "promotion", grace=1, fidelity="cells"),
)
"""Strategies that are compared unless others are named."""
_DRAWS = 2000


@dataclass(frozen=True)
class StrategyResult:
    """The results of one strategy with one number of workers, over all seeds.

    Attributes:
        strategy: the strategy.
        workers: number of workers.
        campaigns: the simulated campaigns, one for each seed.
    """

    strategy: Strategy
    workers: int
    campaigns: tuple[SimulatedCampaign, ...]

    def mean(self, name: str) -> float:
        """Return the mean of an attribute over the campaigns."""
        return float(np.mean([getattr(campaign, name) for campaign in self.campaigns]))

    def interval(self, name: str) -> tuple[float, float]:
        """Return the 95 % interval of the mean of an attribute, from drawing campaigns again."""
        values = np.array([getattr(campaign, name) for campaign in self.campaigns])
        draws = np.random.default_rng(0).integers(len(values), size=(_DRAWS, len(values)))
        low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
        return float(low), float(high)


def compare(
    make_problem: Callable[[Fidelity, int], Problem],
    strategies: Sequence[Strategy],
    workers: Sequence[SimulatedWorkers],
    budget: Budget,
    seeds: int,
) -> Iterator[StrategyResult]:
    """Simulate campaigns of each strategy with each number of workers, and yield their results.

    Args:
        make_problem: makes the problem of a fidelity with the noise of a seed.
        strategies: the strategies.
        workers: the workers to try.
        budget: when no more trials are started.
        seeds: number of campaigns of each.
    """
    for crew in workers:
        for strategy in strategies:
            campaigns = tuple(
                simulate(make_problem(strategy.fidelity, seed), strategy, crew, budget, seed) for seed in range(seeds)
            )
            yield StrategyResult(strategy, crew.count, campaigns)
