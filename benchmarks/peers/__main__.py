"""Compares searches of other libraries with ours; the options are documented in `--help`."""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks import peers
from benchmarks.peers.campaign import run_campaign
from benchmarks.peers.figures import (
    SHARES,
    CampaignResult,
    append_result,
    complete_campaigns,
    format_table,
    read_results,
)
from benchmarks.peers.searches import COMPETITORS, DEFAULT, Competitor, Setting
from search.engine.simulated import SimulatedWorkers
from search.simulation.lcbench import LcbenchProblem, LcbenchSurrogate
from search.simulation.problem import Problem, regret
from search.simulation.recorded import RecordedCells, RecordedCurves, RecordedEpochs, read_table

WORKERS = SimulatedWorkers(4, start_seconds=5.0)
LCBENCH_JUDGES = {"test": "test_balanced_accuracy", "val": "val_accuracy"}

TABLE_JUDGES: Mapping[str, Literal["end", "best"]] = {"the end": "end", "the best epoch": "best"}


@dataclass(frozen=True)
class Campaign:
    """One campaign that is to be simulated.

    Attributes:
        name: name of its problem.
        seed: its seed.
        problem: what is trained.
        judges: problems that say what a pick is worth, by what they judge by.
        step_epochs: number of epochs that a step of a trial costs.
        full_epochs: number of epochs of a training to the end.
    """

    name: str
    seed: int
    problem: Problem
    judges: Mapping[str, Problem]
    step_epochs: int
    full_epochs: int


def simulate(campaign: Campaign, competitor: Competitor, trainings: int) -> CampaignResult:
    """Simulate one campaign of a search."""
    steps = [round(share * trainings * campaign.full_epochs / campaign.step_epochs) for share in SHARES]
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(campaign.problem, WORKERS.count, trainings, campaign.seed, Path(folder))
        picks = run_campaign(campaign.problem, competitor.make(setting), WORKERS, steps)
    seconds = time.process_time() - began
    regrets = {
        name: [1.0 if pick is None else regret(judge, judge.quality(pick)) for pick in picks]
        for name, judge in campaign.judges.items()
    }
    return CampaignResult(campaign.name, campaign.seed, competitor.name, trainings, regrets, round(seconds, 2))


def lcbench_campaigns(
    folder: Path, tasks: int, seeds: int, competitors: Sequence[Competitor]
) -> Iterator[tuple[Campaign, Competitor]]:
    """Yield the campaigns on LCBench: all searches of a task and seed in a row, and all tasks before the next seed."""
    surrogate = LcbenchSurrogate(folder)
    names = surrogate.tasks[:tasks]
    outputs = {"metric": "val_accuracy", "loss": "val_cross_entropy"}
    problems = {
        task: {ranked: LcbenchProblem(surrogate, task, metric=output) for ranked, output in outputs.items()}
        for task in names
    }
    judges = {
        task: {name: LcbenchProblem(surrogate, task, truth=truth) for name, truth in LCBENCH_JUDGES.items()}
        for task in names
    }
    for seed in range(seeds):
        for task in names:
            for competitor in competitors:
                problem = problems[task][competitor.ranked_by]
                yield Campaign(f"lcbench {task}", seed, problem, judges[task], 1, problem.max_epochs), competitor


def table_campaigns(
    curves: RecordedCurves, name: str, metric: str, seeds: int, competitors: Sequence[Competitor]
) -> Iterator[tuple[Campaign, Competitor]]:
    """Yield the campaigns on recorded trainings, ranked by a metric or by the training loss, judged later in time."""
    judges = {name: RecordedEpochs(curves, metric, metric, 0, keep) for name, keep in TABLE_JUDGES.items()}
    for seed in range(seeds):
        for competitor in competitors:
            if competitor.fidelity == "cells":
                cells = RecordedCells(curves, metric, metric, seed)
                yield Campaign(name, seed, cells, judges, cells.cell_epochs, curves.epochs), competitor
            else:
                ranked = metric if competitor.ranked_by == "metric" else "train_loss"
                epochs = RecordedEpochs(curves, ranked, metric, seed)
                yield Campaign(name, seed, epochs, judges, 1, curves.epochs), competitor


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers",
        description=peers.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--lcbench", type=Path, help="folder of YAHPO Gym's surrogate of LCBench")
    source.add_argument("--table", type=Path, help="recorded trainings, as benchmarks.record_table writes them")
    parser.add_argument("output", type=Path, help="file of results; what it holds already is not simulated again")
    parser.add_argument("--metric", default="auc", help="what ranks trials of a table, and what they are worth later")
    parser.add_argument("--trainings", type=int, default=20, help="the budget, in trainings to the end")
    parser.add_argument("--seeds", type=int, default=30, help="number of campaigns of each search and problem")
    parser.add_argument("--tasks", type=int, default=34, help="number of tasks of LCBench")
    parser.add_argument("--searches", nargs="+", metavar="WORD", help="only searches whose name has one of these words")
    return parser.parse_args()


def _chosen(words: Sequence[str] | None, on_table: bool) -> list[Competitor]:
    """Return the searches that are named, can run on the problem and are installed; say which are not."""
    chosen = []
    for competitor in COMPETITORS:
        if competitor.fidelity == "cells" and not on_table:
            continue
        if words and competitor.name != DEFAULT and not any(word.lower() in competitor.name.lower() for word in words):
            continue
        if competitor.is_installed:
            chosen.append(competitor)
        else:
            print(f"{competitor.name}: left out, because {' or '.join(competitor.packages)} is not installed")
    return chosen


def main() -> None:
    """Run the benchmark with the arguments of the command line."""
    options = _arguments()
    logging.disable(logging.WARNING)  # libraries log each trial
    warnings.simplefilter("ignore")
    competitors = _chosen(options.searches, options.table is not None)
    if options.table is not None:
        table = read_table(options.table)
        trainings = table.groupby(["configuration", "fold", "seed"]).ngroups
        print(f"{options.table}: {trainings} recorded trainings, ranked by {options.metric}, worth it later in time")
        campaigns = table_campaigns(
            RecordedCurves(table), f"{options.table.stem} {trainings}", options.metric, options.seeds, competitors
        )
        judges = list(TABLE_JUDGES)
    else:
        campaigns = lcbench_campaigns(options.lcbench, options.tasks, options.seeds, competitors)
        judges = list(LCBENCH_JUDGES)
    results = [result for result in read_results(options.output) if result.trainings == options.trainings]
    finished = {(result.problem, result.seed, result.search) for result in results}
    for campaign, competitor in campaigns:
        if (campaign.name, campaign.seed, competitor.name) not in finished:
            results.append(simulate(campaign, competitor, options.trainings))
            append_result(options.output, results[-1])
    names = [competitor.name for competitor in competitors]
    count = complete_campaigns(results, names)
    print(f"{len(count)} campaigns of {len({name for name, _ in count})} problems, {options.trainings} trainings each")
    for judge in judges:
        print(f"\nJudged by {judge}:\n\n{format_table(results, names, judge, DEFAULT)}")


if __name__ == "__main__":
    main()
