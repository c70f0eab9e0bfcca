"""Trains the cells of one trial inside a process: a step is a whole short training on one fold with one seed.

A cell has no use for its best epoch, which would be a maximum over noise: the averaged weights of its last epoch are
calibrated on the fold's inner val and judged on the block of time after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import softmax

from core.data.dataset import Dataset
from core.evaluation.decision import decide
from core.evaluation.metric_names import METRIC_NAMES
from core.evaluation.metrics import ranking_score
from core.evaluation.report import evaluate_rows, score_blocks
from core.files import table_bytes
from core.training.trainer import Trainer
from search.engine.job import TrialJob, classify_error, rounded_blocks
from search.results.folder import PREDICTIONS_FILE, RETURNS_FILE
from search.results.predictions import Source, make_predictions_table, make_returns_table
from search.storage.filesystem import Storage
from search.study.retries import TrainingFailure
from search.study.trial_record import EpochRecord, TrialAssignment


class CellTraining:
    """Trains the cells of one trial, from the last one that the journal holds."""

    def __init__(self, job: TrialJob, folds: Sequence[Dataset], assignment: TrialAssignment) -> None:
        """Prepare the trainings.

        Args:
            job: the part of a training that all trials of the campaign share, with the cells.
            folds: the dataset of each fold, whose test rows are the block that it predicts.
            assignment: the trial, the attempt at it, and the last cell that is recorded.
        """
        self._job, self._folds, self._assignment = job, folds, assignment
        self._storage: Storage = job.storage.subfolder(str(assignment.number)).subfolder(str(assignment.attempt_id))
        self._cells = assignment.last_epoch

    def step(self) -> EpochRecord | TrainingFailure:
        """Train one cell, and after the last one write its predictions.

        Returns:
            the record of the cell, with its own score as its value; a failure for any error.
        """
        try:
            record = self._train(self._cells + 1)
        except Exception as error:  # every error is reported, with its cause
            return classify_error(error)
        self._cells += 1
        return record

    def _train(self, number: int) -> EpochRecord:
        fold, seed = self._job.cells[number - 1]
        dataset, device = self._folds[fold], self._job.prepare()
        trainer = Trainer(self._job.training_config(self._assignment.params).with_trainer(seed=seed), dataset, device)
        history = list(trainer)
        fitted = trainer.evaluate()
        rows, metric = dataset.test, trainer.config.trainer.metric
        logits = trainer.logits(torch.from_numpy(rows).to(device))
        probabilities = np.asarray(softmax(logits, axis=1))
        decisions = decide(logits, dataset.timestamps[rows], fitted.calibration, fitted.rule)
        of_rows = dataset, rows, probabilities, decisions
        metrics = evaluate_rows(*of_rows, METRIC_NAMES)
        score = ranking_score(metrics, metric)
        if number == len(self._job.cells):
            source = Source(self._assignment.number, seed, f"fold {fold + 1}")
            predictions = make_predictions_table(source, dataset, rows, probabilities)
            self._storage.write(PREDICTIONS_FILE, table_bytes(predictions))
            returns = make_returns_table(source, dataset, rows, decisions.calls)
            self._storage.write(RETURNS_FILE, table_bytes(returns))
        return EpochRecord(
            epoch=number,
            value=score,
            score=score,
            best_epoch=number,
            train_loss=history[-1].train_loss,
            learning_rate=history[-1].learning_rate,
            seconds=sum(result.seconds for result in history) + trainer.fit_seconds,
            metrics=metrics,
            val_blocks=rounded_blocks(score_blocks(*of_rows, metric)) if number == 1 else None,
        )
