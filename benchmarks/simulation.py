"""Strategies of search side by side, simulated on LCBench or on recorded trainings.

`python -m benchmarks.simulation (--lcbench FOLDER | --table FILE) [--trials N] [--seeds N] [--tasks N]` simulates
campaigns of each strategy of `search.simulation.compare` with four workers. It prints regret (0 for the best
configuration that is known, 1 for what a random one typically has), its 95 % interval from drawing tasks and seeds
again, the mean rank among the strategies, and the hours that workers trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from search.engine.simulated import SimulatedWorkers
from search.simulation.compare import STRATEGIES
from search.simulation.lcbench import LcbenchProblem, LcbenchSurrogate
from search.simulation.problem import Problem
from search.simulation.recorded import RecordedCells, RecordedCurves, RecordedEpochs, read_table
from search.simulation.simulate import SimulatedCampaign, Strategy, simulate
from search.study.controller import Budget

WORKERS, DRAWS = 4, 2000


def campaigns_on(
    problem_of: Callable[[Strategy, int], Problem], strategies: list[Strategy], trials: int, seeds: int
) -> list[list[SimulatedCampaign]]:
    """Return the campaigns of each strategy, one for each seed."""
    workers, budget = SimulatedWorkers(WORKERS), Budget(trials)
    return [[simulate(problem_of(s, seed), s, workers, budget, seed) for seed in range(seeds)] for s in strategies]


def show(strategies: list[Strategy], campaigns: list[list[SimulatedCampaign]]) -> None:
    """Print a line for each strategy."""
    regrets = np.array([[campaign.regret for campaign in of_strategy] for of_strategy in campaigns])
    ranks = rankdata(regrets, axis=0)
    draws = np.random.default_rng(0).integers(regrets.shape[1], size=(DRAWS, regrets.shape[1]))
    print("\n| fidelity, ASHA, sampler, policy | regret | 95 % interval | mean rank | steps | worker hours |")
    print("|---|---|---|---|---|---|")
    for strategy, regret, rank, of_strategy in zip(strategies, regrets, ranks, campaigns, strict=True):
        low, high = np.quantile(regret[draws].mean(axis=1), [0.025, 0.975])
        steps = np.mean([campaign.epochs for campaign in of_strategy])
        hours = np.mean([campaign.worker_hours for campaign in of_strategy])
        cells = f"{regret.mean():.3f} | {low:.3f} to {high:.3f} | {rank.mean():.2f} | {steps:.0f} | {hours:.2f}"
        print(f"| {strategy.name} | {cells} |")


def main() -> None:
    """Run the benchmark with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lcbench", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--metric", default="auc", help="what ranks trials of a table")
    parser.add_argument("--truth", default="auc", help="what they are worth later in time")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--tasks", type=int, default=34)
    options = parser.parse_args()
    if options.table is not None:
        curves = RecordedCurves(read_table(options.table))
        kinds = {"epochs": RecordedEpochs, "cells": RecordedCells}
        strategies = list(STRATEGIES)
        print(
            f"{options.table}, ranked by {options.metric}, worth {options.truth} later in time, {options.trials} trials"
        )
        found = campaigns_on(
            lambda strategy, seed: kinds[strategy.fidelity](curves, options.metric, options.truth, seed),
            strategies, options.trials, options.seeds,
        )  # fmt: skip
        show(strategies, found)
    if options.lcbench is not None:
        surrogate = LcbenchSurrogate(options.lcbench)
        strategies = [strategy for strategy in STRATEGIES if strategy.fidelity == "epochs"]
        found = [[] for _ in strategies]
        for task in surrogate.tasks[: options.tasks]:
            problem = LcbenchProblem(surrogate, task)
            of_task = campaigns_on(lambda *_, p=problem: p, strategies, options.trials, options.seeds)
            for campaigns, more in zip(found, of_task, strict=True):
                campaigns.extend(more)
        print(f"LCBench, {min(options.tasks, len(surrogate.tasks))} tasks, {options.trials} trials")
        show(strategies, found)


if __name__ == "__main__":
    main()
