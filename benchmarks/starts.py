"""What a quasi-random start and the pick by a model over all trials are worth, in simulated searches.

`python -m benchmarks.starts (--lcbench FOLDER | --table FILE) [--trials N] [--seeds N] [--tasks N]` simulates searches
with four workers by random sampling and by TPE (Tree-structured Parzen Estimator), each with a random and with a Sobol
start, and picks the winner of each by its own value and by its posterior mean given all trials. It prints the regret (0
for the best configuration that is known, 1 for what a random one typically has), and by how much it is less than that
of the same sampler with a random start and a pick by value, with the 95 % interval: of a table from drawing the seeds
again, of LCBench from drawing the tasks again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from search.engine.simulated import SimulatedWorkers
from search.simulation.lcbench import LcbenchProblem, LcbenchSurrogate
from search.simulation.problem import Problem
from search.simulation.recorded import RecordedCells, RecordedCurves, RecordedEpochs, read_table
from search.simulation.simulate import Strategy, conclude, run_search
from search.study.controller import Budget

WORKERS, DRAWS = 4, 2000
BASES = (
    Strategy("random", "full_only"),
    Strategy("tpe", "complete"),
    Strategy("tpe", "pruned", "promotion", grace=1, fidelity="cells"),
)
VARIANTS = [{"startup": startup, "pick": pick} for startup in ("random", "sobol") for pick in ("value", "posterior")]


def regrets_on(problem_of: Callable[[Strategy, int], Problem], base: Strategy, trials: int, seeds: int) -> np.ndarray:
    """Return the regret of each variant of a strategy with each seed, `[variants, seeds]`."""
    found = np.empty((len(VARIANTS), seeds))
    for seed in range(seeds):
        problem, searches = problem_of(base, seed), {}
        for row, variant in enumerate(VARIANTS):
            strategy = replace(base, **variant)  # type: ignore[arg-type]
            if strategy.startup not in searches:
                workers = SimulatedWorkers(WORKERS)
                searches[strategy.startup] = run_search(problem, strategy, workers, Budget(trials), seed)
            found[row, seed] = conclude(problem, strategy, searches[strategy.startup]).regret
    return found


def show(base: Strategy, regrets: np.ndarray) -> None:
    """Print a line for each variant; `regrets` is `[variants, drawn units]`."""
    draws = np.random.default_rng(0).integers(regrets.shape[1], size=(DRAWS, regrets.shape[1]))
    for variant, regret in zip(VARIANTS, regrets, strict=True):
        gain = regrets[0] - regret
        low, high = np.quantile(gain[draws].mean(axis=1), [0.025, 0.975])
        ahead = "" if variant == VARIANTS[0] else f"{gain.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        cells = f"{base.fidelity} | {base.sampler} | {variant['startup']} | {variant['pick']}"
        print(f"| {cells} | {regret.mean():.3f} | {ahead} |", flush=True)


def main() -> None:
    """Run the benchmark with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lcbench", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--metric", default="auc", help="what ranks trials of a table, and what they are worth later")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--tasks", type=int, default=34)
    options = parser.parse_args()
    print("\n| fidelity | sampler | start | picked by | regret | less than by random start and value |")
    print("|---|---|---|---|---|---|", flush=True)
    if options.table is not None:
        curves = RecordedCurves(read_table(options.table))
        kinds = {"epochs": RecordedEpochs, "cells": RecordedCells}
        for base in BASES:
            show(
                base,
                regrets_on(
                    lambda strategy, seed: kinds[strategy.fidelity](curves, options.metric, options.metric, seed),
                    base, options.trials, options.seeds,
                ),
            )  # fmt: skip
    if options.lcbench is not None:
        surrogate = LcbenchSurrogate(options.lcbench)
        for base in BASES:
            if base.fidelity == "epochs":
                problems = [LcbenchProblem(surrogate, task) for task in surrogate.tasks[: options.tasks]]
                of_tasks = [
                    regrets_on(lambda *_, p=problem: p, base, options.trials, options.seeds).mean(axis=1)
                    for problem in problems
                ]
                show(base, np.stack(of_tasks, axis=1))


if __name__ == "__main__":
    main()
