"""Checkpoints of a campaign's trainings, at `<attempt>/<epoch>.pt` in a storage; the last two are kept.

They are not Tune's checkpoints, each of which would cost a snapshot of the whole experiment. The attempt is a fencing
token: a worker that was cut off but still runs writes into a folder that nobody reads once a later attempt has begun.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress

import torch

from core.config import TrainingConfig
from core.data.dataset import Dataset
from core.errors import ConfigError
from core.models import checkpoint
from core.training.trainer import Trainer
from search.storage.filesystem import Storage, StorageError

SAVE_INTERVAL_SECONDS = 60.0
MAX_KEPT = 2
"""Checkpoints that are kept of an attempt and the attempts before it."""
_CHECKPOINT_NAME = re.compile(r"(\d+)/(\d+)\.pt")


class Checkpoints:
    """The checkpoints of one attempt at a training, which continues from those of earlier attempts."""

    def __init__(self, storage: Storage, attempt: int, always: tuple[int, ...] = ()) -> None:
        """Prepare to save the checkpoints of an attempt.

        Args:
            storage: storage of this training alone.
            attempt: fencing token of the attempt, larger than those of earlier attempts; 1 for the first of all.
            always: epochs after which a checkpoint is saved, however recent the last one is.
        """
        self._storage = storage
        self._attempt = attempt
        self._always = always
        self._saved_at = time.monotonic()

    def restore_trainer(
        self, config: TrainingConfig, dataset: Dataset, device: torch.device, last_epoch: int
    ) -> Trainer:
        """Create a trainer that continues from the latest checkpoint; from the beginning, if there is none.

        An attempt after the first saves the state in which it begins. From then on, nothing is read of what earlier
        attempts may still write.

        Args:
            config: the settings of the training that the checkpoint is of.
            dataset: the data to train on.
            device: the device to train on.
            last_epoch: the last epoch that is recorded; later checkpoints are ignored.

        Raises:
            StorageError: the storage is not available.
        """
        # Files of a trial without a recorded epoch are those of another driver, which may have given the trial's number
        # to other hyperparameters.
        restored = self._restore(config, dataset, device, last_epoch) if last_epoch else None
        trainer = restored or Trainer(config, dataset, device)
        if self._attempt > 1:
            self._save(trainer)
        return trainer

    def _restore(
        self, config: TrainingConfig, dataset: Dataset, device: torch.device, last_epoch: int
    ) -> Trainer | None:
        for name in list_checkpoints(self._storage, self._attempt, last_epoch):
            trainer = Trainer(config, dataset, device)
            try:
                trainer.load_state_dict(checkpoint.checkpoint_from_bytes(self._storage.read(name), name))
            except (StorageError, torch.OutOfMemoryError):
                raise
            except (FileNotFoundError, ConfigError, KeyError, RuntimeError, ValueError):
                continue  # a damaged checkpoint costs only the epochs since the one before
            return trainer
        return None

    def save_if_due(self, trainer: Trainer) -> None:
        """Save a checkpoint if the last one is older than a minute, or this epoch is always saved.

        Raises:
            StorageError: the checkpoint cannot be written.
        """
        if trainer.epoch in self._always or time.monotonic() - self._saved_at >= SAVE_INTERVAL_SECONDS:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        self._storage.write(f"{self._attempt}/{trainer.epoch}.pt", checkpoint.checkpoint_bytes(trainer.state_dict()))
        self._saved_at = time.monotonic()
        with suppress(StorageError):  # a checkpoint too many does no harm
            for name in list_checkpoints(self._storage, self._attempt, trainer.epoch)[MAX_KEPT:]:
                self._storage.remove(name)


def list_checkpoints(storage: Storage, attempt: int, last_epoch: int) -> list[str]:
    """List the checkpoints of a training, up to an attempt and an epoch.

    Args:
        storage: storage of this training alone.
        attempt: fencing token of the last attempt whose checkpoints are listed.
        last_epoch: the last epoch whose checkpoints are listed.

    Returns:
        File names, those of the latest attempt first, and its latest epoch first.

    Raises:
        StorageError: the storage is not available.
    """
    matches = [match for name in storage.list_files() if (match := _CHECKPOINT_NAME.fullmatch(name))]
    checkpoints = sorted(((int(match[1]), int(match[2]), match[0]) for match in matches), reverse=True)
    return [name for made_by, epoch, name in checkpoints if made_by <= attempt and epoch <= last_epoch]


def remove_checkpoints(storage: Storage) -> None:
    """Remove all checkpoints of a training that has ended; its other files stay.

    Args:
        storage: storage of this training alone.

    Raises:
        StorageError: the storage is not available.
    """
    for name in storage.list_files():
        if _CHECKPOINT_NAME.fullmatch(name):
            storage.remove(name)
