"""`preset-search simulate`: compares strategies of search on learning curves that are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core import console
from core.errors import ConfigError

if TYPE_CHECKING:
    from search.simulation.compare import StrategyResult
    from search.simulation.problem import Problem
    from search.simulation.simulate import Fidelity

SIMULATE_EPILOG = (
    "Examples:\n\npreset-search simulate --table btc-eth-15m.parquet --workers 4 --workers 64 --price 1.2\n\n"
    "preset-search simulate --lcbench lcbench --task 189906 --trials 256 --lost-every-hours 24"
)


def simulate(
    table: Annotated[
        Path | None, typer.Option("--table", help="Recorded trainings, as benchmarks.record_table writes them.")
    ] = None,
    lcbench: Annotated[
        Path | None, typer.Option("--lcbench", help="Folder of YAHPO Gym's surrogate of LCBench, beside --task.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Task of LCBench, such as 189906.")] = None,
    metric: Annotated[str, typer.Option("--metric", help="Metric of a table that ranks trials.")] = "auc",
    truth: Annotated[
        str, typer.Option("--truth", help="Metric of a table that says what a configuration is worth later in time.")
    ] = "auc",
    trials: Annotated[int, typer.Option("--trials", help="Number of trials of a campaign.", min=1)] = 64,
    workers: Annotated[
        list[int] | None, typer.Option("--workers", help="Number of trials that run at a time; may be repeated.", min=1)
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Number of simulated campaigns of each strategy.", min=1)] = 10,
    price: Annotated[
        float | None, typer.Option("--price", help="Price of a worker's hour, to show what a campaign costs.", min=0.0)
    ] = None,
    start_seconds: Annotated[
        float, typer.Option("--start-seconds", help="Time from the start of a trial to its first epoch.", min=0.0)
    ] = 5.0,
    lost_every_hours: Annotated[
        float | None,
        typer.Option("--lost-every-hours", help="Mean time between two losses of one worker. Default: none is lost."),
    ] = None,
) -> None:
    """Compare strategies of search on learning curves that are known, in virtual time: nothing is trained.

    A table of recorded trainings compares trials that are ranked by epochs on val with trials that are ranked by cells.
    """
    from search.engine.simulated import SimulatedWorkers
    from search.simulation.compare import STRATEGIES, compare
    from search.study.controller import Budget

    if lost_every_hours is not None and lost_every_hours <= 0:
        raise ConfigError("--lost-every-hours must be above 0", "Leave it out if no worker is lost")
    make_problem, fidelities = _problems(table, lcbench, task, metric, truth)
    strategies = [strategy for strategy in STRATEGIES if strategy.fidelity in fidelities]
    crews = [SimulatedWorkers(count, start_seconds, lost_every_hours or math.inf) for count in workers or [4]]
    results = []
    with console.progress_bar() as bar:
        bar_task = bar.add_task("simulated", total=len(strategies) * len(crews))
        for result in compare(make_problem, strategies, crews, Budget(trials), seeds):
            results.append(result)
            bar.advance(bar_task)
    console.out.print(_results_table(results, trials, seeds, price))
    console.out.print(
        "Regret is 0 for the best configuration that is known, and 1 for what one drawn at random typically has; in "
        "brackets its 95 % interval over the simulated campaigns."
    )


def _problems(
    table: Path | None, lcbench: Path | None, task: str | None, metric: str, truth: str
) -> tuple[Callable[[Fidelity, int], Problem], tuple[Fidelity, ...]]:
    """Return what makes the problems, and the fidelities that they have."""
    if (table is None) == (lcbench is None):
        raise ConfigError("Name what to simulate on", "Add either --table FILE or --lcbench FOLDER --task TASK")
    if table is not None:
        from search.simulation.recorded import RecordedCells, RecordedCurves, RecordedEpochs, check_metric, read_table

        recorded = read_table(table)
        for name in (metric, truth):
            check_metric(recorded, name)
        curves = RecordedCurves(recorded)
        kinds = {"epochs": RecordedEpochs, "cells": RecordedCells}
        return lambda fidelity, seed: kinds[fidelity](curves, metric, truth, seed), ("epochs", "cells")
    from search.simulation.lcbench import LcbenchProblem, LcbenchSurrogate

    assert lcbench is not None
    surrogate = LcbenchSurrogate(lcbench)
    if task is None:
        raise ConfigError("LCBench has many tasks", f"Add --task with one of {', '.join(surrogate.tasks)}")
    problem = LcbenchProblem(surrogate, task)
    return lambda fidelity, seed: problem, ("epochs",)


def _results_table(results: list[StrategyResult], trials: int, seeds: int, price: float | None) -> object:
    """Return a table with a line for each strategy and number of workers."""
    from rich.table import Table

    table = Table(title=f"{trials} trials, {seeds} simulated campaigns each", title_justify="left")
    for heading in ("fidelity", "ASHA", "sampler", "policy"):
        table.add_column(heading, no_wrap=True)
    for heading in ("workers", "hours", "cost", "steps", "regret"):
        if heading != "cost" or price is not None:
            table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        strategy, (low, high) = result.strategy, result.interval("regret")
        cost = [] if price is None else [f"{result.mean('hours') * result.workers * price:,.2f}"]
        table.add_row(
            strategy.fidelity,
            strategy.asha,
            strategy.sampler,
            strategy.policy,
            str(result.workers),
            f"{result.mean('hours'):.2f}",
            *cost,
            f"{result.mean('epochs'):.0f}",
            f"{result.mean('regret'):.2f} ({low:.2f} to {high:.2f})",
        )
    return table
