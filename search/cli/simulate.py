"""`preset-search simulate`: compares strategies of search on learning curves that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core import console
from core.errors import ConfigError
from search.cli.options import RootOption
from search.results.folder import ROOT, CampaignFolder

if TYPE_CHECKING:
    from search.simulation.compare import StrategyResult
    from search.simulation.problem import Problem
    from search.simulation.recorded_campaign import RecordedCampaign
    from search.simulation.simulate import Fidelity, Strategy

SIMULATE_EPILOG = (
    "Examples:\n\npreset-search simulate --campaign btc-eth-30d --workers 4 --workers 64 --price 1.2\n\n"
    "preset-search simulate --table btc-eth-15m.parquet --workers 4 --workers 64 --price 1.2\n\n"
    "preset-search simulate --lcbench lcbench --task 189906 --trials 256 --lost-every-hours 24"
)
_TRIALS = 64
CampaignOption = Annotated[
    str | None, typer.Option("--campaign", help="A campaign of your own, finished or running, in --results.")
]
TableOption = Annotated[
    Path | None, typer.Option("--table", help="Recorded trainings, as benchmarks.record_table writes them.")
]
LcbenchOption = Annotated[
    Path | None, typer.Option("--lcbench", help="Folder of YAHPO Gym's surrogate of LCBench, beside --task.")
]
TruthOption = Annotated[
    str | None,
    typer.Option("--truth", help="Metric of a table that says what a configuration is worth later. Default: auc."),
]
TrialsOption = Annotated[
    int | None,
    typer.Option("--trials", help=f"Number of trials of a campaign. Default: {_TRIALS}; as many as --campaign.", min=1),
]
WorkersOption = Annotated[
    list[int] | None,
    typer.Option("--workers", help="Number of trials that run at a time; may be repeated. Default: 4.", min=1),
]
LossesOption = Annotated[
    float | None,
    typer.Option("--lost-every-hours", help="Mean time between two losses of one worker. Default: none is lost."),
]


def simulate(
    campaign: CampaignOption = None,
    table: TableOption = None,
    lcbench: LcbenchOption = None,
    task: Annotated[str | None, typer.Option("--task", help="Task of LCBench, such as 189906.")] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Metric of a table that ranks trials. Default: auc.")
    ] = None,
    truth: TruthOption = None,
    trials: TrialsOption = None,
    workers: WorkersOption = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Number of simulated campaigns of each strategy.", min=1)] = 10,
    price: Annotated[
        float | None, typer.Option("--price", help="Price of a worker's hour, to show what a campaign costs.", min=0.0)
    ] = None,
    start_seconds: Annotated[
        float, typer.Option("--start-seconds", help="Time from the start of a trial to its first epoch.", min=0.0)
    ] = 5.0,
    lost_every_hours: LossesOption = None,
    root: RootOption = ROOT,
) -> None:
    """Compare strategies of search on learning curves that are known, in virtual time: nothing is trained.

    A campaign of your own shows how long others like it would take, what they would cost, and which strategy would find
    more. A table of recorded trainings compares trials that are ranked by epochs on val with trials that are ranked by
    cells.
    """
    from search.engine.simulated import SimulatedWorkers
    from search.simulation.compare import compare
    from search.study.controller import Budget

    if lost_every_hours is not None and lost_every_hours <= 0:
        raise ConfigError("--lost-every-hours must be above 0", "Leave it out if no worker is lost")
    if [campaign, table, lcbench].count(None) != 2:
        raise ConfigError(
            "Name what to simulate on", "Add one of --campaign NAME, --table FILE and --lcbench FOLDER --task TASK"
        )
    if table is None and (metric or truth):
        raise ConfigError("--metric and --truth have no effect without --table", "Leave them out")
    if table is not None:
        basis = _table_basis(table, metric or "auc", truth or "auc")
    elif lcbench is not None:
        basis = _lcbench_basis(lcbench, task)
    else:
        basis = _campaign_basis(CampaignFolder.find(root, str(campaign)))
    count = trials or basis.trials
    crews = [SimulatedWorkers(number, start_seconds, lost_every_hours or math.inf) for number in workers or [4]]
    results = []
    with console.progress_bar() as bar:
        bar_task = bar.add_task("simulated", total=len(basis.strategies) * len(crews))
        for result in compare(basis.make_problem, basis.strategies, crews, Budget(count), seeds):
            results.append(result)
            bar.advance(bar_task)
    console.out.print(_results_table(results, f"{count} trials, {seeds} simulated campaigns each", price, basis.ranks))
    for note in basis.notes:
        console.out.print(note)


@dataclass(frozen=True)
class _Basis:
    """What is simulated on.

    Attributes:
        make_problem: makes the problem of a fidelity with the noise of a seed.
        strategies: the strategies to compare.
        notes: what the reader must know of the figures, as sentences.
        trials: number of trials of a campaign, unless another is asked for.
        ranks: whether the figures say which strategy finds more.
    """

    make_problem: Callable[[Fidelity, int], Problem]
    strategies: Sequence[Strategy]
    notes: Sequence[str]
    trials: int = _TRIALS
    ranks: bool = True


_REGRET_NOTE = (
    "Regret is 0 for the best configuration that is known, and 1 for what one drawn at random typically has; in "
    "brackets its 95 % interval over the simulated campaigns."
)


def _table_basis(path: Path, metric: str, truth: str) -> _Basis:
    from search.simulation.compare import STRATEGIES
    from search.simulation.recorded import RecordedCells, RecordedCurves, RecordedEpochs, check_metric, read_table

    recorded = read_table(path)
    for name in (metric, truth):
        check_metric(recorded, name)
    curves = RecordedCurves(recorded)
    kinds = {"epochs": RecordedEpochs, "cells": RecordedCells}
    return _Basis(lambda fidelity, seed: kinds[fidelity](curves, metric, truth, seed), STRATEGIES, (_REGRET_NOTE,))


def _lcbench_basis(folder: Path, task: str | None) -> _Basis:
    from search.simulation.compare import STRATEGIES
    from search.simulation.lcbench import LcbenchProblem, LcbenchSurrogate

    surrogate = LcbenchSurrogate(folder)
    if task is None:
        raise ConfigError("LCBench has many tasks", f"Add --task with one of {', '.join(surrogate.tasks)}")
    problem = LcbenchProblem(surrogate, task)
    strategies = [strategy for strategy in STRATEGIES if strategy.fidelity == "epochs"]
    return _Basis(lambda fidelity, seed: problem, strategies, (_REGRET_NOTE,))


def _campaign_basis(folder: CampaignFolder) -> _Basis:
    from search.simulation.compare import STRATEGIES
    from search.simulation.recorded_campaign import CampaignProblem, read_campaign

    recorded = read_campaign(folder)
    own = recorded.strategy
    others = [
        replace(strategy, grace=own.grace, reduction=own.reduction)
        for strategy in STRATEGIES
        if strategy.fidelity == own.fidelity
    ]
    return _Basis(
        lambda fidelity, seed: CampaignProblem(recorded, seed),
        [own, *(strategy for strategy in others if strategy != own)],
        _campaign_notes(folder.name, recorded),
        recorded.config.trials,
        recorded.can_rank,
    )


def _campaign_notes(name: str, recorded: RecordedCampaign) -> list[str]:
    """Return what the reader must know of figures that follow from a campaign."""
    count, steps = len(recorded.lengths), recorded.curves.epochs
    unit, rows = ("epochs", "val") if recorded.config.cells is None else ("cells", "the blocks that its folds predict")
    first = int(recorded.lengths.min())
    notes = [
        f"The first line is the strategy of campaign {name} itself. Its {count} trials took "
        f"{int(recorded.lengths.sum())} {unit} and {recorded.worker_hours:.2f} worker hours; times and prices hold for "
        "machines like those that it ran on, and leave out its confirmation.",
        f"{count - recorded.complete} of these trials ended before {steps} {unit}. Their curves are continued by what "
        "trials that went on had after the same score.",
    ]
    correlation = (
        f"Trials that are left out of the fit are predicted with a rank correlation of {recorded.agreement:.2f} at "
        f"{first} {unit}"
    )
    if not recorded.can_rank:
        return [
            *notes,
            f"{correlation}: no better than chance. So this campaign cannot tell which strategy finds more, and no "
            "regret is shown.",
        ]
    return [
        *notes,
        f"{correlation}. What the predictions miss counts as noise of a training. A configuration is worth what it is "
        f"predicted to reach on {rows}; a search does not know what it is worth later in time.",
        _REGRET_NOTE,
    ]


def _results_table(results: Sequence[StrategyResult], title: str, price: float | None, ranks: bool) -> object:
    """Return a table with a line for each strategy and number of workers; with the regret where that says anything."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for heading in ("fidelity", "ASHA", "sampler", "policy"):
        table.add_column(heading, no_wrap=True)
    for heading in (
        "workers",
        "hours",
        *(["cost"] if price is not None else []),
        "steps",
        *(["regret"] if ranks else []),
    ):
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
            *([f"{result.mean('regret'):.2f} ({low:.2f} to {high:.2f})"] if ranks else []),
        )
    return table
