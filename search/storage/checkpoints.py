"""Checkpoints of a campaign's trainings, `<attempt>/<epoch>.pt` in a storage; the last two are kept.

They are not Tune's, each of which would cost a snapshot of the whole experiment. The attempt is a fencing token: a
worker that was cut off but still runs writes into a folder that nobody reads once a later attempt has begun.
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

EVERY_SECONDS = 60.0
KEPT = 2
_NAME = re.compile(r"(\d+)/(\d+)\.pt")


class Checkpoints:
    """Those of one attempt at a training, which goes on where an earlier attempt ended."""

    def __init__(self, storage: Storage, attempt: int, always: tuple[int, ...] = ()) -> None:
        """Keep them in the training's `storage`; after the epochs `always`, whatever the time."""
        self._storage = storage
        self._attempt = attempt
        self._always = always
        self._kept_at = time.monotonic()

    def trainer(self, config: TrainingConfig, dataset: Dataset, device: torch.device, last_epoch: int) -> Trainer:
        """A trainer at the last epoch up to `last_epoch` of which there is a checkpoint.

        An attempt that is not the first writes down where it begins: from then on nothing that an earlier one still
        writes is looked at.

        Raises:
            StorageError: the storage does not answer.
        """
        # Of a trial that has no epoch yet, whatever lies there is another driver's, of other parameters perhaps.
        found = self._restored(config, dataset, device, last_epoch) if last_epoch else None
        trainer = found or Trainer(config, dataset, device)
        if self._attempt > 1:
            self._write(trainer)
        return trainer

    def _restored(
        self, config: TrainingConfig, dataset: Dataset, device: torch.device, last_epoch: int
    ) -> Trainer | None:
        for name in saved(self._storage, self._attempt, last_epoch):
            trainer = Trainer(config, dataset, device)
            try:
                trainer.load_state_dict(checkpoint.checkpoint_from_bytes(self._storage.read(name), name))
            except (StorageError, torch.OutOfMemoryError):
                raise
            except (FileNotFoundError, ConfigError, KeyError, RuntimeError, ValueError):
                continue  # damaged: an earlier one will do
            return trainer
        return None

    def keep(self, trainer: Trainer) -> None:
        """Write a checkpoint, if it is time for one.

        Raises:
            StorageError: it cannot be written.
        """
        if trainer.epoch in self._always or time.monotonic() - self._kept_at >= EVERY_SECONDS:
            self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        self._storage.write(f"{self._attempt}/{trainer.epoch}.pt", checkpoint.checkpoint_bytes(trainer.state_dict()))
        self._kept_at = time.monotonic()
        with suppress(StorageError):  # what is too much does no harm
            for name in saved(self._storage, self._attempt, trainer.epoch)[KEPT:]:
                self._storage.remove(name)


def saved(storage: Storage, attempt: int, last_epoch: int) -> list[str]:
    """A training's checkpoints up to an attempt and an epoch, the latest attempt's first, and its latest epoch first.

    Raises:
        StorageError: the storage does not answer.
    """
    matches = [match for name in storage.names() if (match := _NAME.fullmatch(name))]
    found = sorted(((int(match[1]), int(match[2]), match[0]) for match in matches), reverse=True)
    return [name for made, epoch, name in found if made <= attempt and epoch <= last_epoch]
