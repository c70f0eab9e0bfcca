"""Checkpoints of a campaign's trainings, `<folder>/<attempt>/<epoch>.pt`; the last two are kept.

They are not Tune's, which would cost a snapshot of the whole experiment each. The attempt keeps a worker that was cut
off but lives from writing into a training that went on elsewhere.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from core import checkpoint
from core.config import TrainingConfig
from core.dataset import Dataset
from core.errors import ConfigError
from core.trainer import Trainer

EVERY_SECONDS = 60.0
KEPT = 2


class Checkpoints:
    """Those of one attempt at a training, which go on where an earlier attempt ended."""

    def __init__(self, folder: Path, attempt: int, always: tuple[int, ...] = ()) -> None:
        """Keep them in `folder`; after the epochs `always`, whatever the time."""
        self._folder = folder
        self._attempt = attempt
        self._always = always
        self._kept_at = time.monotonic()

    def trainer(self, config: TrainingConfig, dataset: Dataset, device: torch.device, last_epoch: int) -> Trainer:
        """A trainer at the last epoch up to `last_epoch` of which there is a checkpoint."""
        for path in saved(self._folder, last_epoch):
            trainer = Trainer(config, dataset, device)
            try:
                trainer.load_state_dict(checkpoint.load(path))
            except (ConfigError, KeyError, RuntimeError, ValueError):
                continue  # damaged: an earlier one will do
            return trainer
        return Trainer(config, dataset, device)

    def keep(self, trainer: Trainer) -> None:
        """Write a checkpoint, if it is time for one.

        Raises:
            ConfigError: it cannot be written.
        """
        if trainer.epoch not in self._always and time.monotonic() - self._kept_at < EVERY_SECONDS:
            return
        checkpoint.save(self._folder / str(self._attempt) / f"{trainer.epoch}.pt", trainer.state_dict())
        self._kept_at = time.monotonic()
        for path in saved(self._folder, trainer.epoch)[KEPT:]:
            path.unlink(missing_ok=True)


def saved(folder: Path, last_epoch: int) -> list[Path]:
    """A training's checkpoints of all attempts up to an epoch, the latest first."""
    found = [(int(path.stem), int(path.parent.name), path) for path in folder.glob("[0-9]*/[0-9]*.pt")]
    return [path for epoch, _, path in sorted(found, reverse=True) if epoch <= last_epoch]
