"""What a training process is given, and what it reports."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

import ray
import torch

from core.config import TrainingConfig
from core.errors import ConfigError
from core.evaluation.history import EpochResult
from core.training.device import resolve_device
from search.cluster.nodes import UnfitNodeError, check_machine
from search.cluster.resources import CONTEXT, TrialResources
from search.cluster.software import Software
from search.storage.filesystem import Storage, StorageError

TRAINING, FAILED, NO_ROOM, NO_STORAGE, UNFIT = "training", "failed", "no room", "no storage", "unfit"


@dataclass(frozen=True)
class TrialJob:
    """What all trials of a campaign share.

    Attributes:
        base: the recipe that a trial's six values are put into.
        resources: where a trial trains, and what it gets there.
        storage: of all trials' files.
        rungs: epochs after which a checkpoint is kept whatever the time.
        software: what every machine has to run; None if it is not looked at.
        owner_token: what every machine must find in the storage (see `Storage.claim`); None where there is one machine.
        checked_node_ids: Ray's identifiers of the nodes that were looked at before; None where there is one machine.
    """

    base: TrainingConfig
    resources: TrialResources
    storage: Storage
    rungs: tuple[int, ...] = ()
    software: Software | None = None
    owner_token: str | None = None
    checked_node_ids: frozenset[str] | None = None

    def prepare(self) -> torch.device:
        """Make this process ready to train: it takes no more threads, or memory of its GPU, than it was given.

        Raises:
            UnfitNodeError: the machine runs other software than the driver, or does not see its storage or its GPU.
            StorageError: the storage does not answer.
        """
        if self.software is not None:
            check_machine(self.software, self._is_new())
        if self.owner_token is not None:
            self._check_owner(self.owner_token)
        torch.set_num_threads(self.resources.cpus)
        try:
            device = resolve_device(self.resources.device)
        except ConfigError as error:  # it was given a GPU
            raise UnfitNodeError(
                f"Node {socket.gethostname()}: {error.what}", "Check its driver, and that its torch is made for its GPU"
            ) from None
        if device.type == "cuda" and self.resources.gpus < 1:
            total = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(max(self.resources.gpus - CONTEXT / total, 0.01))
        return device

    def _is_new(self) -> bool:
        return (
            self.checked_node_ids is not None and ray.get_runtime_context().get_node_id() not in self.checked_node_ids
        )

    def _check_owner(self, owner_token: str) -> None:
        found, where = self.storage.owner(), self.storage.shown
        if not found:
            raise UnfitNodeError(
                f"Node {socket.gethostname()} does not see what the driver wrote to {where}",
                "Name a storage that every node can reach",
            )
        if found != owner_token:
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


def epoch_row(result: EpochResult) -> dict[str, Any]:
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


def failure_result(error: Exception) -> dict[str, Any]:
    """What is reported of a training that ended in an error; what can be cured is told apart."""
    if isinstance(error, StorageError):
        return {"outcome": NO_STORAGE, "reason": str(error)}
    if isinstance(error, UnfitNodeError):
        return {"outcome": UNFIT, "reason": str(error)}
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    no_room = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in said
    return {"outcome": NO_ROOM if no_room else FAILED, "reason": said[:500]}
