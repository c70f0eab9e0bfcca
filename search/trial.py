"""The Tune trainable around `core.trainer.Trainer`: one step is one epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from core import checkpoint
from core.config import Device, TrainingConfig
from core.dataset import Dataset
from core.device import resolve_device
from core.trainer import Trainer

WORST_VALUE = -1e3
"""What the searcher is told of a failed trial: no metric that ranks trials goes lower for a model of any use."""
_STATE_FILE = "trainer.pt"


@dataclass(frozen=True)
class TrialJob:
    """What all trials of a campaign share.

    Attributes:
        base: the recipe that a trial's six values are put into.
        device: where to train.
        threads: CPU threads of a trial.
    """

    base: TrainingConfig
    device: Device
    threads: int

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


def failure(error: Exception) -> dict[str, Any]:
    """What is reported of a training that failed."""
    return {"value": WORST_VALUE, "outcome": "failed", "reason": f"{type(error).__name__}: {error}"}


class TrainingTrial(tune.Trainable):
    """One trial. Its process is reused by the next: starting one costs more than many an epoch.

    Every result has `epoch`, `value` (best score so far), `outcome` and, when it failed, `reason`.
    """

    def setup(self, config: dict[str, Any], job: TrialJob, dataset: Dataset) -> None:  # type: ignore[override]
        """Take the shared parts, then build the trainer."""
        torch.set_num_threads(job.threads)
        self._job = job
        self._dataset = dataset
        self._build(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process."""
        self._build(new_config)
        return True

    def _build(self, six: dict[str, Any]) -> None:
        device = resolve_device(self._job.device)
        self._trainer = Trainer(self._job.training_config(six), self._dataset, device)

    def step(self) -> dict[str, Any]:
        """Train one epoch. A failure of our own is a result, not an exception: Ray retries only dead processes."""
        try:
            result = self._trainer.run_epoch()
        except Exception as error:  # whatever it was is told in the result
            return {"epoch": self._trainer.epoch + 1, "done": True, **failure(error)}
        return {**result.as_row(), "outcome": "training", "done": self._trainer.finished}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the trainer's state. Without this method Ray would not reuse processes."""
        checkpoint.save(Path(checkpoint_dir) / _STATE_FILE, self._trainer.state_dict())

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Continue from a state written by `save_checkpoint`."""
        load_state(self._trainer, Path(checkpoint))


def load_state(trainer: Trainer, folder: Path) -> None:
    """Continue a trainer from the state in a folder."""
    trainer.load_state_dict(checkpoint.load(folder / _STATE_FILE))
