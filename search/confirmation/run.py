"""Runs a confirmation: each cell a Ray task, each kept as soon as it is done, so that it goes on where it was ended."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import ray
import torch
from ray.exceptions import RayError
from rich.markup import escape
from scipy.special import softmax

from core import console, errors
from core.data.dataset import Dataset
from core.errors import ConfigError, PresetSearchError
from core.evaluation.checklist import make_checklist
from core.evaluation.report import evaluate_rows
from core.files import write_json, write_table
from core.training import run as training
from core.training.trainer import Trainer
from search.campaign import backup
from search.campaign.plan import CampaignPlan
from search.cluster.preflight import check_cluster
from search.cluster.session import ray_session
from search.cluster.software import software
from search.confirmation.certify import CellResult, make_verdict, select_winner
from search.confirmation.plan import Cell, ConfirmationPlan, begin
from search.engine.job import TrialJob
from search.results import ledger, manifest
from search.results.folder import (
    CELLS,
    CONFIRMATION_FILE,
    JOURNAL_FILE,
    PREDICTIONS_FILE,
    RETURNS_FILE,
    ROW_FILE,
    STOP_FILE,
    VERDICT_FILE,
)
from search.results.ledger import LEDGER_FILE
from search.results.predictions import TEST, Source, predictions_table, returns_table
from search.storage.filesystem import Storage, StorageError
from search.storage.monitor import StorageMonitor
from search.study.journal import Journal

POLL_SECONDS = 0.5


def train_cell(cell: Cell, dataset: Dataset, job: TrialJob) -> tuple[dict[str, Any], list[pd.DataFrame]]:
    """Train one cell; choose epoch and calibration on its val; predict its test rows.

    Args:
        cell: which.
        dataset: its own.
        job: where to train, and with what.

    Returns:
        a row of the confirmation, in plain values, and the tables of predictions and returns.
    """
    device = job.prepare()
    recipe = cell.recipe
    row: dict[str, Any] = {"number": cell.candidate.number, "seed": cell.seed, "split": cell.split}
    try:
        trainer = Trainer(recipe, dataset, device)
        history = list(trainer)
        best = trainer.best
        assert best is not None  # an epoch has run
        if cell.split == TEST:
            calibration, findings = training.evaluate_training(dataset, trainer, history)
        else:
            calibration, findings = trainer.evaluate_best().calibration, {}
        logits = trainer.logits(torch.from_numpy(dataset.test).to(trainer.device))
    except PresetSearchError as error:  # it would happen again
        return {**row, "status": "failed", "reason": " ".join(str(error).split())}, []
    probabilities = softmax(logits, axis=1)
    scores = evaluate_rows(dataset, dataset.test, probabilities)
    row |= {
        "status": "complete",
        "reason": "",
        "epochs": len(history),
        "best_epoch": history[-1].best_epoch,
        "seconds": sum(result.seconds for result in history),
        "temperature": calibration.temperature,
        "bias": list(calibration.bias),
        "val": best.best_metrics,
        "held_out": scores,
        "train_rows": len(dataset.train),
        "val_rows": len(dataset.val),
        "held_out_rows": len(dataset.test),
    }
    if findings:
        row["checklist"] = [line.as_row() for line in make_checklist(recipe, findings)]
    source = Source(cell.candidate.number, cell.seed, cell.split)
    made = [table(source, dataset, dataset.test, probabilities) for table in (predictions_table, returns_table)]
    return row, made


_task = ray.remote(max_retries=3)(train_cell)  # a dead process or want of memory is tried again


def run_confirmation(plan: ConfirmationPlan) -> dict[str, Any]:
    """Train all cells that are not done yet, choose the winner, read test once, write the verdict.

    Raises:
        ConfigError: the campaign is being run, or its folder cannot be written.
        KeyboardInterrupt: it was ended by hand; what is done is kept.
    """
    folder = plan.campaign.folder
    campaign = plan.campaign
    with _held(folder / JOURNAL_FILE), ray_session():
        stop = folder / STOP_FILE
        stop.unlink(missing_ok=True)  # left by a run that was killed
        if campaign.checked_node_ids is not None:
            data = campaign.dataset
            console.err.print(
                check_cluster(campaign.nodes, campaign.resources, ray.put(data), data.nbytes, campaign.backup_storage)
            )
        owner_token = campaign.storage.claim() if campaign.backup_storage else None
        with backup.backed_up(folder, campaign.backup_storage, owner_token) as taken:
            this = _Run(campaign, owner_token, taken, _watch(campaign.backup_storage))
            begin(plan)
            done = _train(plan, plan.cells, "confirmation", this)
            chosen = select_winner(plan, done)
            final = Cell(chosen.candidate, plan.seeds[0], TEST)
            look = plan.look_at(final)
            this.check()
            looks = ledger.append_entry(folder.parent / LEDGER_FILE, look) if look else []
            if look and this.watch is not None:
                copy = partial(backup.backup_ledger, folder.parent, campaign.config.name, campaign.storage)
                this.watch.retry_until_available(copy, stop.exists)
            last = _train(plan, [final], "final training", this)
            seen = ledger.earlier_overlapping(looks, look) if look else []
            verdict = {**make_verdict(plan, chosen, last[0], seen), "look": asdict(look) if look else None}
            _write(plan, [*done, *last], verdict)
    return verdict


@dataclass(frozen=True)
class _Run:
    """One run of a confirmation.

    Attributes:
        campaign: the campaign.
        owner_token: what the driver left in its storage, see `TrialJob`.
        taken: whether another driver goes on with it.
        watch: knows whether the storage answers; None where it is this machine's own disk.
    """

    campaign: CampaignPlan
    owner_token: str | None
    taken: Callable[[], bool]
    watch: StorageMonitor | None

    def check(self) -> None:
        """Make sure that it is to go on.

        Raises:
            KeyboardInterrupt: someone asks for an end.
            ConfigError: another driver goes on with it.
        """
        stop = self.campaign.folder / STOP_FILE
        if stop.exists():
            stop.unlink(missing_ok=True)
            raise KeyboardInterrupt
        if self.taken():
            raise backup.taken_over(self.campaign.config.name)


def _watch(storage: Storage | None) -> StorageMonitor | None:
    return None if storage is None else StorageMonitor(storage, lambda said: console.err.print(escape(said)))


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Keep the campaign from being run meanwhile."""
    journal = Journal(path)
    try:
        yield
    finally:
        journal.close()


def _place(plan: ConfirmationPlan, cell: Cell) -> Path:
    return plan.campaign.folder / CELLS / cell.key(plan.campaign.identity, plan.settings.folds)


def _train(plan: ConfirmationPlan, cells: Sequence[Cell], title: str, this: _Run) -> list[CellResult]:
    """Train all cells that are not done yet; returns all, in their order."""
    missing = [cell for cell in cells if _load(_place(plan, cell)) is None]
    resources = plan.campaign.resources
    campaign = plan.campaign
    job = TrialJob(
        campaign.base, resources, campaign.storage, (), software(), this.owner_token, campaign.checked_node_ids
    )
    task = _task.options(num_cpus=resources.cpus, num_gpus=resources.gpus)
    shared: dict[str, Any] = {}
    waiting = list(reversed(missing))
    running: dict[Any, Cell] = {}
    refused = Counter[Path]()
    with console.progress_bar() as bar:
        shown = bar.add_task(title, total=len(cells), completed=len(cells) - len(missing))
        while waiting or running:
            this.check()
            while (
                waiting
                and len(running) < resources.max_concurrent
                and (this.watch is None or this.watch.is_available())
            ):
                cell = waiting.pop()
                if cell.split not in shared:
                    shared[cell.split] = ray.put(plan.dataset_of(cell))
                running[task.remote(cell, shared[cell.split], job)] = cell
            if not running:
                time.sleep(POLL_SECONDS)
                continue
            ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            for reference in ready:
                cell = running.pop(reference)
                try:
                    _keep(plan, cell, reference)
                except StorageError as error:
                    refused[_place(plan, cell)] += 1
                    if this.watch is None or refused[_place(plan, cell)] > plan.campaign.config.attempts:
                        raise
                    this.watch.report_failure(str(error))
                    waiting.append(cell)
                else:
                    bar.advance(shown)
    found = [(cell, _load(_place(plan, cell))) for cell in cells]
    return [_of(cell, trained) for cell, trained in found if trained is not None]


def _of(cell: Cell, trained: CellResult) -> CellResult:
    """The same, as this cell's: candidates of one recipe share a training."""
    number = cell.candidate.number
    tables = [table.assign(number=np.int32(number)) for table in (trained.predictions, trained.returns)]
    return CellResult({**trained.row, "number": number}, *tables)


def _keep(plan: ConfirmationPlan, cell: Cell, reference: Any) -> None:
    try:
        row, tables = ray.get(reference)
    except RayError as error:
        if isinstance(cause := getattr(error, "cause", None), PresetSearchError):  # the machine's doing, not the cell's
            raise cause from None
        raise ConfigError(
            f"The training of {cell.candidate.name}, seed {cell.seed}, {cell.split} died ({errors.first_line(error)})",
            "Run the same command again: it goes on there",
        ) from None
    place = _place(plan, cell)
    for name, table in zip((PREDICTIONS_FILE, RETURNS_FILE), tables, strict=False):
        write_table(place / name, table)
    write_json(place / ROW_FILE, row)


def _load(place: Path) -> CellResult | None:
    """A cell that is done; None if it is not, or its files are damaged: then it is trained again."""
    try:
        return _read(place)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(place: Path) -> CellResult:
    row = json.loads((place / ROW_FILE).read_text(encoding="utf-8"))
    if row["status"] != "complete":
        return CellResult(row, pd.DataFrame(), pd.DataFrame())
    return CellResult(row, pd.read_parquet(place / PREDICTIONS_FILE), pd.read_parquet(place / RETURNS_FILE))


def _write(plan: ConfirmationPlan, done: Sequence[CellResult], verdict: dict[str, Any]) -> None:
    folder = plan.campaign.folder
    write_table(folder / CONFIRMATION_FILE, confirmation_table([trained.row for trained in done]))
    for name, tables in (
        (PREDICTIONS_FILE, [trained.predictions for trained in done]),
        (RETURNS_FILE, [trained.returns for trained in done]),
    ):
        whole = pd.read_parquet(folder / name)
        write_table(folder / name, pd.concat([whole[whole["split"] == "val"], *tables], ignore_index=True))
    write_json(folder / VERDICT_FILE, verdict)
    manifest.write_manifest(folder)
    shutil.rmtree(folder / CELLS, ignore_errors=True)


def confirmation_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A row a candidate, seed and fold, and one of the final training; figures of what it predicted as `held_out_…`."""
    nested = ("val", "held_out", "bias", "checklist")
    flat = []
    for row in rows:
        plain = {key: value for key, value in row.items() if key not in nested}
        for part in ("val", "held_out"):
            plain |= {f"{part}_{name}": _number(value) for name, value in row.get(part, {}).items()}
        plain |= {
            f"bias_{name}": value for name, value in zip(("sell", "hold", "buy"), row.get("bias", []), strict=False)
        }
        flat.append(plain)
    return pd.DataFrame(flat)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
