"""What a quasi-random start and the pick by a model over all trials are worth, in simulated searches.

`python -m benchmarks.starts (--lcbench FOLDER | --table FILE) [--trials N] [--seeds N] [--tasks N]` simulates searches
with four workers by random sampling and by TPE (Tree-structured Parzen Estimator), each with a random and with a Sobol
start, and picks the winner of each by its own value and by its posterior mean given all trials. It prints the regret (0
for the best configuration that is known, 1 for what a random one typically has), and by how much it is less than that
of the same sampler with a random start and a pick by value, with the 95 % interval: of a table from drawing the seeds
again, of LCBench from drawing the tasks again. With `--powers`, it compares batch sizes of a table as powers of 2 with
the same ones as choices instead, under TPE.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from search.engine.simulated import SimulatedWorkers
from search.simulation.lcbench import LcbenchProblem, LcbenchSurrogate
from search.simulation.problem import Problem
from search.simulation.recorded import RecordedCells, RecordedCurves, RecordedEpochs, read_table
from search.simulation.simulate import Strategy, conclude, run_search
from search.study.controller import Budget
from search.study.space import Dimension, PowerRange

WORKERS, DRAWS = 4, 2000
BASES = (
    Strategy("random", "full_only"),
    Strategy("tpe", "complete"),
    Strategy("tpe", "pruned", "promotion", grace=1, fidelity="cells"),
)
KINDS: Mapping[str, type[RecordedEpochs | RecordedCells]] = {"epochs": RecordedEpochs, "cells": RecordedCells}
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


def recorded_problem(curves: RecordedCurves, metric: str, strategy: Strategy, seed: int) -> Problem:
    """Return the problem of a table for the fidelity of a strategy."""
    return KINDS[strategy.fidelity](curves, metric, metric, seed)


def regrets_of_spaces(
    make_problem: Callable[[Strategy, int], Problem], spaces: Sequence[Mapping[str, Dimension]], base: Strategy,
    trials: int, seeds: int,
) -> np.ndarray:  # fmt: skip
    """Return the regret of a search of each space with each seed, `[spaces, seeds]`."""
    found = np.empty((len(spaces), seeds))
    for row, space in enumerate(spaces):
        for seed in range(seeds):
            problem = make_problem(base, seed)
            problem.space = space
            search = run_search(problem, base, SimulatedWorkers(WORKERS), Budget(trials), seed)
            found[row, seed] = conclude(problem, base, search).regret
    return found


def show(base: Strategy, regrets: np.ndarray, labels: Sequence[str]) -> None:
    """Print a line for each variant, which is labelled; `regrets` is `[variants, drawn units]`."""
    draws = np.random.default_rng(0).integers(regrets.shape[1], size=(DRAWS, regrets.shape[1]))
    for row, (label, regret) in enumerate(zip(labels, regrets, strict=True)):
        gain = regrets[0] - regret
        low, high = np.quantile(gain[draws].mean(axis=1), [0.025, 0.975])
        less = f"{gain.mean():+.3f} ({low:+.3f} to {high:+.3f})" if row else ""
        print(f"| {base.fidelity} | {base.sampler} | {label} | {regret.mean():.3f} | {less} |", flush=True)


def compare_spaces(curves: RecordedCurves, metric: str, trials: int, seeds: int) -> None:
    """Print what batch sizes as choices and as powers of 2 are worth to TPE."""
    sizes = curves.space["batch_size"].values  # type: ignore[union-attr]
    powers = {**curves.space, "batch_size": PowerRange(low=min(sizes), high=max(sizes), log2=True)}
    print("\n| fidelity | sampler | batch size | regret | less than by choices |\n|---|---|---|---|---|", flush=True)
    for base in BASES:
        if base.sampler == "tpe":
            problem_of = partial(recorded_problem, curves, metric)
            found = regrets_of_spaces(problem_of, (curves.space, powers), base, trials, seeds)
            show(base, found, ("choice", "power of 2"))


def compare_starts(curves: RecordedCurves | None, lcbench: Path | None, options: argparse.Namespace) -> None:
    """Print what starts and picks are worth, on a table or on the tasks of LCBench."""
    print("\n| fidelity | sampler | start | picked by | regret | less than by random start and value |")
    print("|---|---|---|---|---|---|", flush=True)
    labels = [f"{variant['startup']} | {variant['pick']}" for variant in VARIANTS]
    if curves is not None:
        problem_of = partial(recorded_problem, curves, options.metric)
        for base in BASES:
            show(base, regrets_on(problem_of, base, options.trials, options.seeds), labels)
    if lcbench is not None:
        surrogate = LcbenchSurrogate(lcbench)
        problems = [LcbenchProblem(surrogate, task) for task in surrogate.tasks[: options.tasks]]
        for base in [base for base in BASES if base.fidelity == "epochs"]:
            of_tasks = [
                regrets_on(lambda *_, p=problem: p, base, options.trials, options.seeds).mean(axis=1)
                for problem in problems
            ]
            show(base, np.stack(of_tasks, axis=1), labels)


def main() -> None:
    """Run the benchmark with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lcbench", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--metric", default="auc", help="what ranks trials of a table, and what they are worth later")
    parser.add_argument("--trials", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--tasks", type=int, default=34)
    parser.add_argument("--powers", action="store_true", help="compare batch sizes as powers of 2 and as choices")
    options = parser.parse_args()
    curves = None if options.table is None else RecordedCurves(read_table(options.table))
    if options.powers and curves is not None:
        compare_spaces(curves, options.metric, options.trials, options.seeds)
    else:
        compare_starts(curves, options.lcbench, options)


if __name__ == "__main__":
    main()
