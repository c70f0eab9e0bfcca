"""The Tune trainable around `core.trainer.Trainer`: one step is one epoch."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray import tune

from core.config import TrainingConfig
from core.dataset import Dataset
from core.device import resolve_device
from core.errors import ConfigError
from core.files import table_bytes
from core.trainer import EpochResult, Trainer
from search.checkpoints import Checkpoints
from search.nodes import Software, UnfitNodeError, check_machine
from search.outputs import PREDICTIONS_FILE, RETURNS_FILE, VAL, Source, predictions_table, returns_table
from search.packing import CONTEXT, Packing
from search.storage import Storage, StorageError

TRAINING, FAILED, NO_ROOM, NO_STORAGE, UNFIT = "training", "failed", "no room", "no storage", "unfit"


@dataclass(frozen=True)
class TrialJob:
    """What all trials of a campaign share.

    Attributes:
        base: the recipe that a trial's six values are put into.
        packing: where a trial trains, and what it gets there.
        storage: of all trials' files.
        rungs: epochs after which a checkpoint is kept whatever the time.
        software: what every machine has to run; None if it is not looked at.
        mark: what every machine has to find in the storage, see `Storage.mark`; None where there is one machine.
        looked_at: Ray's identifiers of the nodes that were looked at before; None where there is one machine.
    """

    base: TrainingConfig
    packing: Packing
    storage: Storage
    rungs: tuple[int, ...] = ()
    software: Software | None = None
    mark: str | None = None
    looked_at: frozenset[str] | None = None

    def prepare(self) -> torch.device:
        """Make this process ready to train: it takes no more threads, or memory of its GPU, than it was given.

        Raises:
            UnfitNodeError: the machine runs other software than the driver, or does not see its storage or its GPU.
            StorageError: the storage does not answer.
        """
        if self.software is not None:
            check_machine(self.software, self._is_new())
        if self.mark is not None:
            self._check_mark(self.mark)
        torch.set_num_threads(self.packing.cpus)
        try:
            device = resolve_device(self.packing.device)
        except ConfigError as error:  # it was given a GPU
            raise UnfitNodeError(
                f"Node {socket.gethostname()}: {error.what}", "Check its driver, and that its torch is made for its GPU"
            ) from None
        if device.type == "cuda" and self.packing.gpus < 1:
            total = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(max(self.packing.gpus - CONTEXT / total, 0.01))
        return device

    def _is_new(self) -> bool:
        return self.looked_at is not None and ray.get_runtime_context().get_node_id() not in self.looked_at

    def _check_mark(self, mark: str) -> None:
        found, where = self.storage.marked(), self.storage.shown
        if not found:
            raise UnfitNodeError(
                f"Node {socket.gethostname()} does not see what the driver wrote to {where}",
                "Name a storage that every node can reach",
            )
        if found != mark:
            raise UnfitNodeError(
                f"Another driver goes on with the campaign, or node {socket.gethostname()} has {where} for itself",
                "Leave it to that driver; or name a storage that every node can reach",
            )

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
    kept = (
        "epoch",
        "value",
        "score",
        "best_epoch",
        "train_loss",
        "learning_rate",
        "seconds",
        "metrics",
        "best_metrics",
    )
    return {name: getattr(result, name) for name in kept}


def failure(error: Exception) -> dict[str, Any]:
    """What is reported of a training that ended in an error; what can be cured is told apart."""
    if isinstance(error, StorageError):
        return {"outcome": NO_STORAGE, "reason": str(error)}
    if isinstance(error, UnfitNodeError):
        return {"outcome": UNFIT, "reason": str(error)}
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    no_room = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in said
    return {"outcome": NO_ROOM if no_room else FAILED, "reason": said[:500]}


class TrainingTrial(tune.Trainable):
    """One trial. Its process is reused by the next: starting one costs more than many an epoch.

    Every result has `outcome`: training, with the epoch as `row` in JSON; or failed (it would again), no room (for
    want of memory), no storage (what it has to keep cannot be written) or unfit (the machine), with the `reason`.
    """

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], job: TrialJob, load: Callable[[], Dataset]
    ) -> None:
        """Take the shared parts; the trainer is built in the first step, so that its failure is a result too."""
        self._job = job
        self._dataset = load()
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
            self._keep(trainer)
        except Exception as error:  # whatever it was is told in the result
            self._trainer = None
            return failure(error)
        # As a text: Tune would flatten a mapping.
        return {"outcome": TRAINING, "row": json.dumps(row)}

    @property
    def _own(self) -> Storage:
        return self._job.storage.at(str(self._asked["number"]))

    def _build(self) -> Trainer:
        """A trainer, at the last epoch that the journal knows and a checkpoint was kept of."""
        job, asked = self._job, self._asked
        self._checkpoints = Checkpoints(self._own, asked["attempt"], job.rungs)
        device = job.prepare()
        return self._checkpoints.trainer(job.training_config(asked), self._dataset, device, asked["last_epoch"])

    def _keep(self, trainer: Trainer) -> None:
        """Write what outlives this process: a checkpoint if it is time for one, and what the last epoch predicts."""
        if trainer.finished:
            write_outputs(trainer, self._dataset, self._asked["number"], self._own.at(str(self._asked["attempt"])))
        self._checkpoints.keep(trainer)


def write_outputs(trainer: Trainer, dataset: Dataset, number: int, storage: Storage) -> None:
    """Write what the best weights predict on val, and what following them would have earned.

    Raises:
        StorageError: it cannot be written.
    """
    source = Source(number, trainer.config.trainer.seed, VAL)
    probabilities = trainer.best_probabilities()
    for name, table in ((PREDICTIONS_FILE, predictions_table), (RETURNS_FILE, returns_table)):
        storage.write(name, table_bytes(table(source, dataset, dataset.val, probabilities)))
