"""Trains the incumbent once, beside the trials.

Its epochs are recorded in a file as they come, and it keeps checkpoints like a trial, so that an interrupted training
continues where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from core.data.dataset import Dataset
from core.errors import ConfigError, PresetSearchError
from core.files import write_json
from search.engine.job import TrialJob, make_epoch_record
from search.engine.tasks import TrainingTask
from search.results.folder import CampaignFolder
from search.results.records import IncumbentRecord
from search.storage.checkpoints import Checkpoints
from search.storage.filesystem import StorageError
from search.study.retries import TrainingFailure
from search.study.trial_record import EpochRecord, TrialRecord

CHECKPOINT_FOLDER = "incumbent"
"""Folder of the incumbent's checkpoints in the campaign's storage."""


def train_incumbent(job: TrialJob, dataset: Dataset, attempt_id: int, last_epoch: int) -> Iterator[EpochRecord]:
    """Train the incumbent, from the last recorded epoch on if a checkpoint of it was kept.

    Args:
        job: the device, the threads and the storage that the process is given; its base is the incumbent's recipe.
        dataset: the dataset that trials see, with train and val.
        attempt_id: fencing token of this attempt, which names the folder of its checkpoints.
        last_epoch: the last epoch that is recorded; 0 if none is.

    Yields:
        the record of each epoch.
    """
    device = job.prepare()
    checkpoints = Checkpoints(job.storage.subfolder(CHECKPOINT_FOLDER), attempt_id)
    trainer = checkpoints.restore_trainer(job.base, dataset, device, last_epoch)
    for result in trainer:
        with suppress(StorageError):  # without a checkpoint, some epochs may have to be run again
            checkpoints.save_if_due(trainer)
        yield make_epoch_record(result)


class IncumbentTraining(TrainingTask):
    """Runs the training of the incumbent and records its epochs.

    Attributes:
        record: the epochs and how the training ended, in the form of a trial's record.
    """

    def __init__(
        self,
        job: TrialJob,
        dataset: Any,
        params: dict[str, Any],
        folder: CampaignFolder,
        on_epoch: Callable[[TrialRecord], None] = lambda _: None,
        generation: int = 0,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Read the recorded epochs of earlier runs; a training that has ended is not run again.

        Args:
            job: the device, the threads and the storage that the process is given; its base is the incumbent's recipe.
            dataset: the engine's handle of train and val.
            params: the incumbent's six hyperparameters, for the record.
            folder: the folder of the campaign, whose `incumbent` file keeps the epochs.
            on_epoch: function to call with the record after each new epoch, and once for those of earlier runs.
            generation: how often the campaign has been taken over, see `search.study.study.take_over`.
            on_end: function to call when the training has ended for good.

        Raises:
            ConfigError: the file is damaged.
        """
        super().__init__()
        self.record = TrialRecord(0, params, "incumbent", generation=generation)
        self._job = job
        self._dataset = dataset
        self._folder = folder
        self._on_epoch = on_epoch
        self._on_end = on_end
        if (recorded := folder.read_incumbent()) is not None:
            self._continue(recorded)

    def __str__(self) -> str:
        return "incumbent"

    @property
    def ended(self) -> bool:
        """Whether the training is complete or has failed for good."""
        return self.record.outcome is not None

    def attempt(self) -> tuple[Callable[..., Iterator[EpochRecord]], Sequence[Any]]:
        """Begin another attempt, which is recorded first, so that its number is never given again.

        Returns:
            the training and its arguments.
        """
        self.record.attempts += 1
        self._write()
        return train_incumbent, (self._job, self._dataset, self.record.attempt_id, self.record.last_epoch)

    def on_result(self, result: EpochRecord) -> bool:
        """Record an epoch, unless it is recorded already and was run again."""
        if result.epoch in self.record.epochs:
            return False
        self._add(result)
        self._write()
        self._on_epoch(self.record)
        return True

    def on_finished(self) -> None:
        """Record that the training is complete."""
        self.record.outcome = "complete"
        self._write()
        self._on_end()

    def on_given_up(self, failure: TrainingFailure, error: PresetSearchError | None) -> None:
        """Record that the training failed; the search continues without the incumbent."""
        self.record.outcome, self.record.reason = "failed", failure.reason
        self._on_end()

    def _add(self, epoch: EpochRecord) -> None:
        self.record.epochs[epoch.epoch] = self.record.recordable(epoch)

    def _continue(self, recorded: IncumbentRecord) -> None:
        self.record.attempts = recorded.attempts
        for epoch in recorded.epochs:
            self._add(epoch)
        if recorded.complete:
            self.record.outcome = "complete"
        if self.record.epochs:
            self._on_epoch(self.record)

    def _write(self) -> None:
        recorded = IncumbentRecord.model_construct(
            complete=self.record.outcome == "complete",
            attempts=self.record.attempts,
            epochs=tuple(self.record.epochs.values()),
        )
        with suppress(ConfigError):  # a full disk ends the campaign through its journal, with a better message
            write_json(self._folder.incumbent, recorded.as_row())
