"""Runs a confirmation: trains its cells, chooses the winner, reads test once, and writes the verdict."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.markup import escape

from core import console
from core.files import write_json, write_table
from search.campaign import backup
from search.campaign.driver_log import driver_log
from search.campaign.shared_ledger import join_ledgers
from search.cluster.software import installed_software
from search.confirmation.candidates import Cell
from search.confirmation.cells import CellResult, CellTask
from search.confirmation.certify import make_verdict, select_winner
from search.confirmation.neighbours import (
    Neighbour,
    compare_with_neighbours,
    find_neighbours,
    neighbour_cells,
)
from search.confirmation.plan import ConfirmationPlan, check_unchanged, record_settings
from search.confirmation.race import CellKey, Race, run_race
from search.confirmation.shared_cells import copy_shared, share
from search.confirmation.table import make_confirmation_table
from search.engine.job import TrialJob
from search.engine.protocol import Engine
from search.engine.tasks import POLL_SECONDS, TaskRunner
from search.results import ledger, manifest
from search.results.ledger_entry import LedgerEntry
from search.results.predictions import INCUMBENT, TEST, VAL
from search.results.race_records import DroppedCandidate, RaceRecord
from search.results.readings import complete_ledger
from search.results.verdict import Verdict
from search.storage.filesystem import Storage
from search.storage.monitor import StorageMonitor
from search.study.journal.backend import Journal

_LOG = logging.getLogger(__name__)


def run_confirmation(plan: ConfirmationPlan, engine: Engine) -> Verdict:
    """Train the cells that are not finished, choose the winner, read test once, and write the verdict.

    Args:
        plan: the planned confirmation, from `plan_confirmation`.
        engine: the engine that runs the trainings.

    Returns:
        the verdict, which is written into the campaign's folder.

    Raises:
        ConfigError: another process runs the campaign, a training failed for good, or the folder cannot be written.
        KeyboardInterrupt: the confirmation was ended by hand; finished cells are kept.
    """
    campaign = plan.campaign
    folder = campaign.folder
    with locked(folder.journal), driver_log(folder.driver_log), engine.session():
        check_unchanged(plan)
        folder.stop_request.unlink(missing_ok=True)  # left by a run that was killed
        if campaign.checked_node_ids is not None:
            engine.check_nodes(campaign.nodes, campaign.resources, campaign.dataset, campaign.backup_storage)
        owner_token = campaign.storage.claim() if campaign.backup_storage else None
        with backup.backed_up(folder, campaign.backup_storage, owner_token) as taken_over:
            run = _Run(plan, engine, owner_token, taken_over, _monitor(campaign.backup_storage))
            record_settings(plan)
            run.record_reading(plan.ledger_entry)
            _LOG.info("confirmation started", extra={"cells": plan.expected, "missing": plan.missing})
            verdict = _reach_verdict(run)
            _LOG.info("verdict", extra={"status": verdict.status, "winner": verdict.winner.trial})
    return verdict


def _reach_verdict(run: _Run) -> Verdict:
    """Train what is not finished, in the order in which one thing depends on another, and write the verdict."""
    plan = run.plan
    race, out_of_fold = run.race()
    subject = plan.subject_after(race)
    selection = select_winner(subject, out_of_fold)
    winner = plan.candidate(selection.winner.number)
    neighbours = find_neighbours(plan, winner.number) if plan.reserved else []
    beside = run.train(neighbour_cells(plan, race, neighbours), "neighbours of the winner")
    final_cell = Cell(winner, plan.seeds[0], TEST)
    entry = plan.entry_for(final_cell)
    run.check()
    entries = run.record_reading(entry)
    final = run.train([final_cell], "final training")
    entry = entry and ledger.find_entry(entries, entry)  # an interrupted confirmation keeps its first reading
    earlier = ledger.earlier_overlapping(entries, entry) if entry else []
    scores = {_key(result): plan.score(result.record) for result in [*out_of_fold, *beside]}
    neighbourhood = compare_with_neighbours(plan, race, winner.number, neighbours, scores)
    verdict = make_verdict(subject, selection, final[0], entry, earlier).model_copy(
        update={"race": _describe_race(plan, race), "neighbours": neighbourhood}
    )
    results = _with_notes([*out_of_fold, *beside, *final], race, neighbours)
    _write_results(plan, results, verdict, neighbour_cells(plan, race, neighbours))
    return verdict


def _key(result: CellResult) -> CellKey:
    return CellKey(result.record.number, result.record.seed, result.record.split)


def _describe_race(plan: ConfirmationPlan, race: Race) -> RaceRecord:
    return RaceRecord(
        started=len(plan.rules.candidates),
        trainings=len(race.cells),
        dropped=tuple(
            DroppedCandidate(
                trial=drop.number,
                hyperparameters=plan.candidate(drop.number).hyperparameters,
                cells=drop.cells,
                reason=drop.reason,
                gap=drop.gap.value,
                low=drop.gap.low,
            )
            for drop in race.dropped
        ),
    )


def _with_notes(results: Sequence[CellResult], race: Race, neighbours: Sequence[Neighbour]) -> list[CellResult]:
    """Return results whose records say which candidates were dropped, when and why, and which are neighbours."""
    notes: dict[int, dict[str, Any]] = {
        drop.number: {"dropped_after": drop.cells, "dropped_because": drop.reason} for drop in race.dropped
    }
    notes |= {one.candidate.number: {"neighbour": f"{one.name} = {one.value:g}"} for one in neighbours}
    return [
        replace(result, record=result.record.model_copy(update=notes.get(result.record.number, {})))
        for result in results
    ]


@dataclass(frozen=True)
class _Run:
    """One run of a confirmation.

    Attributes:
        plan: the planned confirmation, from `plan_confirmation`.
        engine: the engine that runs the trainings.
        owner_token: the token that this driver got when it claimed the storage; None where there is one machine.
        taken_over: function that returns whether another driver has taken the campaign over.
        monitor: knows whether a remote storage is available; None where files go to this machine's own disk.
        shared: the engine's handles of the datasets, by split.
    """

    plan: ConfirmationPlan
    engine: Engine
    owner_token: str | None
    taken_over: Callable[[], bool]
    monitor: StorageMonitor | None
    shared: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Check that nobody has ended the run.

        Raises:
            KeyboardInterrupt: someone asks it to end.
            ConfigError: another driver has taken the campaign over.
        """
        campaign = self.plan.campaign
        if campaign.folder.stop_request.exists():
            campaign.folder.stop_request.unlink(missing_ok=True)
            raise KeyboardInterrupt
        if self.taken_over():
            raise backup.taken_over_error(campaign.config.name)

    def record_reading(self, entry: LedgerEntry | None) -> list[LedgerEntry]:
        """Record in the ledger what is about to be read, on the storage too: other machines must know of it.

        Args:
            entry: the entry of the reading; None on the synthetic market.

        Returns:
            all entries of the ledger; none on the synthetic market.
        """
        if entry is None:
            return []
        campaign = self.plan.campaign
        folder = campaign.folder
        complete_ledger(folder.path.parent)
        record = partial(join_ledgers, folder.ledger, [entry], campaign.common_storage)
        if self.monitor is None:
            return record()
        entries = self.monitor.retry_until_available(record, folder.stop_request.exists)
        copy = partial(backup.backup_ledger, folder, campaign.storage)
        self.monitor.retry_until_available(copy, folder.stop_request.exists)
        return entries

    def race(self) -> tuple[Race, list[CellResult]]:
        """Train the candidates and the incumbent until the race is over.

        Returns:
            the race, and the results of its cells, in their order.

        Raises:
            ConfigError, KeyboardInterrupt: see `train`.
        """
        plan, results, scores = self.plan, dict[CellKey, CellResult](), dict[CellKey, float | None]()
        while (race := run_race(plan.rules, scores)).missing:
            title = f"confirmation, {len(race.finishers)} of {len(plan.rules.candidates)} candidates"
            trained = self.train([plan.cell(key) for key in race.missing], title)
            results |= dict(zip(race.missing, trained, strict=True))
            scores |= {key: plan.score(results[key].record) for key in race.missing}
        return race, [results[key] for key in race.cells]

    def train(self, cells: Sequence[Cell], title: str) -> list[CellResult]:
        """Train the cells that are not finished.

        Args:
            cells: the cells whose results are needed.
            title: title of the progress bar.

        Returns:
            the results of all cells, in their order.

        Raises:
            ConfigError: a training failed for good, or another driver has taken the campaign over.
            KeyboardInterrupt: someone asks the run to end.
        """
        campaign = self.plan.campaign
        for cell in cells:
            copy_shared(campaign.folder, self.plan.key(cell))
        missing = [cell for cell in cells if self._load(cell) is None]
        runner = TaskRunner(
            self.engine,
            campaign.resources,
            campaign.config.attempts,
            self.monitor,
            campaign.resources.max_concurrent,
        )
        with console.progress_bar() as bar:
            bar_task = bar.add_task(title, total=len(cells), completed=len(cells) - len(missing))
            for cell in missing:
                share, folder = partial(self._share, cell), campaign.folder.cell(self.plan.key(cell))
                runner.add(CellTask(cell, self._job(), share, folder, on_finished=partial(bar.advance, bar_task)))
            while not runner.is_idle:
                self.check()
                runner.poll(POLL_SECONDS)
        results = [(cell, self._load(cell)) for cell in cells]
        return [result.of_candidate(cell.candidate.number) for cell, result in results if result is not None]

    def _load(self, cell: Cell) -> CellResult | None:
        """Read the result of a cell; None if it must be trained."""
        return CellResult.load(self.plan.campaign.folder, self.plan.key(cell))

    def _job(self) -> TrialJob:
        """Make the job that training processes are given."""
        campaign = self.plan.campaign
        return TrialJob(
            campaign.base,
            campaign.resources,
            campaign.storage,
            software=installed_software(),
            owner_token=self.owner_token,
            checked_node_ids=campaign.checked_node_ids,
        )

    def _share(self, cell: Cell) -> Any:
        """Return the engine's handle of a cell's dataset, which is shared once for all cells of a split."""
        if cell.split not in self.shared:
            self.shared[cell.split] = self.engine.share(self.plan.dataset_of(cell))
        return self.shared[cell.split]


def _monitor(storage: Storage | None) -> StorageMonitor | None:
    return None if storage is None else StorageMonitor(storage, lambda message: console.err.print(escape(message)))


@contextmanager
def locked(journal_path: Path) -> Iterator[None]:
    """Hold the lock of the journal while the block lasts, so that nobody runs the campaign meanwhile."""
    journal = Journal(journal_path)
    try:
        yield
    finally:
        journal.close()


def _write_results(
    plan: ConfirmationPlan, results: Sequence[CellResult], verdict: Verdict, beside: Sequence[Cell] = ()
) -> None:
    """Write the tables, the verdict and the manifest, in this order, then remove the finished cells.

    The manifest is written last: once it lists the verdict, the confirmation is concluded.

    Args:
        plan: the planned confirmation, from `plan_confirmation`.
        results: the results of all cells, the final training last. The predictions of neighbours are not kept: the
            verdict needs none but their scores.
        verdict: the verdict to write.
        beside: the trainings of the neighbours.
    """
    folder = plan.campaign.folder
    kept = [result for result in results if result.record.number >= INCUMBENT]
    write_table(folder.confirmation_table, make_confirmation_table([result.record for result in results]))
    for path, recorded, tables in (
        (folder.predictions, folder.read_predictions(), [result.predictions for result in kept]),
        (folder.returns, folder.read_returns(), [result.returns for result in kept]),
    ):
        write_table(path, pd.concat([recorded[recorded["split"] == VAL], *tables], ignore_index=True))
    write_json(folder.verdict, verdict.as_row())
    manifest.write_manifest(folder)
    share(folder, {plan.key(cell) for cell in [*plan.cells, *beside]})
    shutil.rmtree(folder.cells, ignore_errors=True)
