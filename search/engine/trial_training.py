"""Trains one trial inside a process, step by step: a step is an epoch, and an error is reported like a result."""

from __future__ import annotations

from core.data.dataset import Dataset
from core.files import table_bytes
from core.training.trainer import Trainer
from search.engine.job import TrialJob, classify_error, make_epoch_record
from search.results.folder import PREDICTIONS_FILE, RETURNS_FILE
from search.results.predictions import VAL, Source, make_predictions_table, make_returns_table
from search.storage.checkpoints import Checkpoints
from search.storage.filesystem import Storage
from search.study.retries import TrainingFailure
from search.study.trial_record import EpochRecord, TrialAssignment


class TrialTraining:
    """Trains one trial, from the last epoch that the journal holds and that has a checkpoint."""

    def __init__(self, job: TrialJob, dataset: Dataset, assignment: TrialAssignment) -> None:
        """Prepare the training; the trainer is built in the first step, so that a failure to build it is reported, too.

        Args:
            job: the part of a training that all trials of the campaign share.
            dataset: the dataset that trials see, with train and val.
            assignment: the trial, the attempt at it, and the epoch to continue from.
        """
        self._job = job
        self._dataset = dataset
        self._assignment = assignment
        self._storage: Storage = job.storage.subfolder(str(assignment.number))
        self._checkpoints = Checkpoints(self._storage, assignment.attempt_id, job.rungs)
        self._trainer: Trainer | None = None

    def step(self) -> EpochRecord | TrainingFailure:
        """Train one epoch, and write the files that must outlive this process.

        Returns:
            the record of the epoch; a failure for any error.
        """
        try:
            trainer = self._trainer = self._trainer or self._build()
            result = trainer.run_epoch()
            is_first_rung = result.epoch == self._job.first_rung
            record = make_epoch_record(result, trainer.val_block_scores() if is_first_rung else None)
            self._keep(trainer)
        except Exception as error:  # every error is reported, with its cause
            self._trainer = None
            return classify_error(error)
        return record

    def _build(self) -> Trainer:
        assignment, job = self._assignment, self._job
        device = job.prepare()
        recipe = job.training_config(assignment.params)
        return self._checkpoints.restore_trainer(recipe, self._dataset, device, assignment.last_epoch)

    def _keep(self, trainer: Trainer) -> None:
        """Write the predictions if the training is finished, and a checkpoint if one is due."""
        if trainer.finished:
            assignment = self._assignment
            write_outputs(
                trainer, self._dataset, assignment.number, self._storage.subfolder(str(assignment.attempt_id))
            )
        self._checkpoints.save_if_due(trainer)


def write_outputs(trainer: Trainer, dataset: Dataset, number: int, storage: Storage) -> None:
    """Write the predictions of val by the best weights, and the returns of following them.

    Args:
        trainer: the trainer of the finished training.
        dataset: the dataset that it was trained on.
        number: number of the trial.
        storage: storage that receives the two tables.

    Raises:
        StorageError: the tables cannot be written.
    """
    source, rows = Source(number, trainer.config.trainer.seed, VAL), dataset.val
    probabilities, decisions = trainer.best_val_predictions()
    predictions = make_predictions_table(source, dataset, rows, probabilities)
    storage.write(PREDICTIONS_FILE, table_bytes(predictions))
    storage.write(RETURNS_FILE, table_bytes(make_returns_table(source, dataset, rows, decisions.calls)))
