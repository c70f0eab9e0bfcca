"""The Tune trainable around `core.trainer.Trainer`: one step is one epoch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from core.config import Device, TrainingConfig
from core.dataset import Dataset
from core.device import resolve_device
from core.errors import ConfigError
from core.files import write_table
from core.trainer import EpochResult, Trainer
from search.checkpoints import Checkpoints
from search.outputs import PREDICTIONS_FILE, RETURNS_FILE, VAL, Source, predictions_table, returns_table

TRAINING, FAILED, NO_ROOM, NO_STORAGE = "training", "failed", "no room", "no storage"


@dataclass(frozen=True)
class TrialJob:
    """What all trials of a campaign share.

    Attributes:
        base: the recipe that a trial's six values are put into.
        device: where to train.
        threads: CPU threads of a trial.
        root: folder of all trials' files.
        rungs: epochs after which a checkpoint is kept whatever the time.
    """

    base: TrainingConfig
    device: Device
    threads: int
    root: Path
    rungs: tuple[int, ...] = ()

    def training_config(self, six: dict[str, Any]) -> TrainingConfig:
        """The recipe of the trial with these six values."""
        base = self.base
        return base.model_copy(
            update={
                "model": base.model.model_copy(update={"dropout": six["dropout"]}),
                "loss": base.loss.model_copy(update={"focal_gamma": six["focal_gamma"]}),
                "augment": base.augment.model_copy(update={"mixup_alpha": six["mixup_alpha"]}),
                "trainer": base.trainer.model_copy(
                    update={name: six[name] for name in ("learning_rate", "batch_size", "weight_decay")}
                ),
            }
        )


def as_row(result: EpochResult) -> dict[str, Any]:
    """What is written down of an epoch, in plain values."""
    kept = ("epoch", "value", "score", "best_epoch", "train_loss", "learning_rate", "seconds", "metrics")
    return {name: getattr(result, name) for name in kept}


def failure(error: Exception) -> dict[str, Any]:
    """What is reported of a training that ended in an error; lack of memory is told apart, for it can be cured."""
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    no_room = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in said
    return {"outcome": NO_ROOM if no_room else FAILED, "reason": said[:500]}


class TrainingTrial(tune.Trainable):
    """One trial. Its process is reused by the next: starting one costs more than many an epoch.

    Every result has `outcome`: training, with the epoch as `row` in JSON; or failed (it would again), no room (for
    want of memory) or no storage (what it has to keep cannot be written), with the `reason`.
    """

    def setup(self, config: dict[str, Any], job: TrialJob, dataset: Dataset) -> None:  # type: ignore[override]
        """Take the shared parts; the trainer is built in the first step, so that its failure is a result too."""
        torch.set_num_threads(job.threads)
        self._job = job
        self._dataset = dataset
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process."""
        self._asked = new_config
        self._trainer: Trainer | None = None
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch. A failure of our own is a result, not an exception: Ray would count it as a dead process."""
        try:
            trainer = self._trainer = self._trainer or self._build()
            row = as_row(trainer.run_epoch())
        except Exception as error:  # whatever it was is told in the result
            self._trainer = None
            return failure(error)
        try:
            self._keep(trainer)
        except ConfigError as error:
            self._trainer = None
            return {"outcome": NO_STORAGE, "reason": str(error)}
        # As a text: Tune would flatten a mapping.
        return {"outcome": TRAINING, "row": json.dumps(row)}

    @property
    def _folder(self) -> Path:
        return self._job.root / str(self._asked["number"])

    def _build(self) -> Trainer:
        """A trainer, at the last epoch that the journal knows and a checkpoint was kept of."""
        job, asked = self._job, self._asked
        self._checkpoints = Checkpoints(self._folder, asked["attempt"], job.rungs)
        device = resolve_device(job.device)
        return self._checkpoints.trainer(job.training_config(asked), self._dataset, device, asked["last_epoch"])

    def _keep(self, trainer: Trainer) -> None:
        """Write what outlives this process: a checkpoint if it is time for one, and what the last epoch predicts."""
        if trainer.finished:
            write_outputs(trainer, self._dataset, self._asked["number"], self._folder)
        self._checkpoints.keep(trainer)


def write_outputs(trainer: Trainer, dataset: Dataset, number: int, folder: Path) -> None:
    """Write what the best weights predict on val, and what following them would have earned."""
    source = Source(number, trainer.config.trainer.seed, VAL)
    probabilities = trainer.best_probabilities()
    predictions = predictions_table(source, dataset, dataset.val, probabilities)
    write_table(folder / PREDICTIONS_FILE, predictions)
    write_table(folder / RETURNS_FILE, returns_table(source, dataset, dataset.val, probabilities))
