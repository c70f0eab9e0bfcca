"""Trains the cells of a confirmation, and keeps each result so that no cell is trained twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import softmax

from core.data.dataset import Dataset
from core.errors import ConfigError, PresetSearchError, one_line
from core.evaluation.checklist import make_checklist
from core.evaluation.decision import decide
from core.evaluation.report import evaluate_rows
from core.files import write_json, write_table
from core.training.run import evaluate_training
from core.training.trainer import Trainer
from search.confirmation.candidates import Cell
from search.engine.job import TrialJob
from search.engine.tasks import TrainingTask
from search.results.folder import PREDICTIONS_FILE, RETURNS_FILE, ROW_FILE, CampaignFolder
from search.results.predictions import TEST, Source, make_predictions_table, make_returns_table
from search.results.records import CellRecord, ChecklistRow
from search.study.retries import TrainingFailure


@dataclass(frozen=True)
class CellResult:
    """The result of a finished cell.

    Attributes:
        record: the cell's row of the confirmation table.
        predictions: predictions of the held-out rows, see `make_predictions_table`; empty if the training failed.
        returns: returns of following them, see `make_returns_table`; empty if the training failed.
    """

    record: CellRecord
    predictions: pd.DataFrame
    returns: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write the result into the folder of the cell, the row last: with it the cell counts as finished.

        Args:
            folder: path of the folder, which holds this result alone.

        Raises:
            ConfigError: the folder cannot be written.
        """
        if not self.predictions.empty:
            write_table(folder / PREDICTIONS_FILE, self.predictions)
            write_table(folder / RETURNS_FILE, self.returns)
        write_json(folder / ROW_FILE, self.record.as_row())

    @classmethod
    def failed(cls, cell: Cell, reason: str) -> CellResult:
        """Make the result of a training that failed by itself.

        Args:
            cell: the cell that was trained.
            reason: why the training failed, in one line.
        """
        record = CellRecord(
            number=cell.candidate.number, seed=cell.seed, split=cell.split, status="failed", reason=reason
        )
        return cls(record, pd.DataFrame(), pd.DataFrame())

    @classmethod
    def load(cls, folder: CampaignFolder, key: str) -> CellResult | None:
        """Read the result of a cell; None if it is not finished or damaged, so that it must be trained.

        Args:
            folder: the folder of the campaign.
            key: the key of the cell.
        """
        record = folder.read_cell(key)
        if record is None:
            return None
        if not record.is_complete:
            return cls(record, pd.DataFrame(), pd.DataFrame())
        try:
            return cls(record, *folder.read_cell_tables(key))
        except ConfigError:
            return None

    def of_candidate(self, number: int) -> CellResult:
        """Return the same result under another candidate's number: candidates with the same recipe share a training.

        Args:
            number: number of the candidate.
        """
        tables = [table.assign(number=np.int32(number)) for table in (self.predictions, self.returns)]
        return CellResult(self.record.model_copy(update={"number": number}), *tables)


def train_cell(cell: Cell, dataset: Dataset, job: TrialJob) -> Iterator[CellResult]:
    """Train one cell, choose epoch and calibration on its val, predict its held-out rows, and yield the result.

    Args:
        cell: the candidate, the seed and the split.
        dataset: train and val of the cell, and as test its held-out rows.
        job: the device, the threads and the storage that the process is given.

    Yields:
        the result of the cell, once; a training that fails by itself is a result, too.
    """
    device = job.prepare()
    recipe = cell.recipe
    try:
        trainer = Trainer(recipe, dataset, device)
        history = list(trainer)
        best = trainer.best
        assert best is not None  # an epoch has run
        if cell.split == TEST:
            fitted, findings = evaluate_training(dataset, trainer, history)
        else:
            fitted, findings = trainer.evaluate_best(), {}
        logits = trainer.logits(torch.from_numpy(dataset.test).to(trainer.device))
    except PresetSearchError as error:  # the same training would fail again, so it is not run again
        yield CellResult.failed(cell, one_line(error))
        return
    probabilities = softmax(logits, axis=1)
    decisions = decide(logits, dataset.timestamps[dataset.test], fitted.calibration, fitted.rule)
    checklist = make_checklist(recipe, findings) if findings else []
    record = CellRecord(
        number=cell.candidate.number,
        seed=cell.seed,
        split=cell.split,
        status="complete",
        reason="",
        epochs=len(history),
        best_epoch=history[-1].best_epoch,
        seconds=sum(result.seconds for result in history),
        temperature=fitted.calibration.temperature,
        bias=fitted.calibration.bias,
        decision_mean=fitted.rule.mean,
        decision_tilt=fitted.rule.tilt,
        val=best.best_metrics,
        held_out=evaluate_rows(dataset, dataset.test, probabilities, decisions),
        train_rows=len(dataset.train),
        val_rows=len(dataset.val),
        held_out_rows=len(dataset.test),
        checklist=tuple(ChecklistRow(**line.as_row()) for line in checklist),
    )
    source = Source(cell.candidate.number, cell.seed, cell.split)
    yield CellResult(
        record,
        make_predictions_table(source, dataset, dataset.test, probabilities),
        make_returns_table(source, dataset, dataset.test, decisions.calls),
    )


class CellTask(TrainingTask):
    """Runs the training of one cell and keeps its result in the campaign's folder."""

    def __init__(
        self, cell: Cell, job: TrialJob, share: Callable[[], Any], folder: Path, on_finished: Callable[[], None]
    ) -> None:
        """Prepare the training of a cell.

        Args:
            cell: the candidate, the seed and the split.
            job: the device, the threads and the storage that the process is given.
            share: function that returns the engine's handle of the cell's dataset.
            folder: path of the folder that receives the result.
            on_finished: function to call when the result is kept.
        """
        super().__init__()
        self._cell = cell
        self._job = job
        self._share = share
        self._folder = folder
        self._on_finished = on_finished

    def __str__(self) -> str:
        cell = self._cell
        return f"{cell.candidate.name}, seed {cell.seed}, {cell.split}"

    def attempt(self) -> tuple[Callable[..., Iterator[CellResult]], Sequence[Any]]:
        """Return the training of the cell and its arguments."""
        return train_cell, (self._cell, self._share(), self._job)

    def on_result(self, result: CellResult) -> bool:
        """Keep the result."""
        result.save(self._folder)
        return True

    def on_finished(self) -> None:
        """Report that the cell is finished."""
        self._on_finished()

    def on_given_up(self, failure: TrainingFailure, error: PresetSearchError | None) -> None:
        """End the confirmation; finished cells are kept.

        Raises:
            ConfigError: always.
        """
        remedy = "Run the same command again: finished trainings are kept"
        if error is not None:
            raise ConfigError(failure.reason.rstrip("."), remedy)
        cell = self._cell
        raise ConfigError(
            f"The training of {cell.candidate.name}, seed {cell.seed}, {cell.split} failed ({failure.reason})", remedy
        )
