"""The job that a training process is given: recipe, resources and storage; it prepares the process, too."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from core.config import Hyperparameters, TrainingConfig
from core.errors import ConfigError
from core.evaluation.history import EpochResult
from core.training.device import resolve_device
from search.cluster.nodes import UnfitNodeError, check_machine
from search.cluster.resources import CUDA_CONTEXT_BYTES, TrialResources
from search.cluster.software import Software
from search.storage.filesystem import Storage, StorageError
from search.study.retries import TrainingFailure
from search.study.trial_record import EpochRecord


@dataclass(frozen=True)
class TrialJob:
    """The part of a training that all trials of a campaign share.

    Attributes:
        base: recipe that the six hyperparameters of a trial are put into.
        resources: the device that a trial trains on, and the share of it that the trial gets.
        storage: storage that holds the files of all trials.
        rungs: epochs after which a checkpoint is kept, however little time has passed.
        software: versions that every machine must run; None if they are not checked.
        owner_token: token that every machine must find in the storage, see `Storage.claim`; None where there is one
            machine.
        checked_node_ids: Ray's identifiers of the nodes that were checked before the start; None where there is one
            machine.
        cells: fold and seed of each cell of a trial, in the order in which it takes them; none where trials are judged
            by epochs.
    """

    base: TrainingConfig
    resources: TrialResources
    storage: Storage
    rungs: tuple[int, ...] = ()
    software: Software | None = None
    owner_token: str | None = None
    checked_node_ids: frozenset[str] | None = None
    cells: tuple[tuple[int, int], ...] = ()

    @property
    def first_rung(self) -> int:
        """The epoch of the first rung, at which trials are compared; the last epoch where there is no rung."""
        return self.rungs[0] if self.rungs else self.base.trainer.epochs

    def prepare(self) -> torch.device:
        """Prepare this process to train, with no more threads and GPU memory than it was given.

        Returns:
            the device to train on.

        Raises:
            UnfitNodeError: the machine runs other software than the driver, or does not see its storage or its GPU.
            StorageError: the storage is not available.
        """
        if self.software is not None:
            check_machine(self.software, self._is_on_new_node())
        if self.owner_token is not None:
            self._check_owner(self.owner_token)
        torch.set_num_threads(self.resources.cpus)
        try:
            device = resolve_device(self.resources.device)
        except ConfigError as error:  # the process was given a GPU, but torch does not see it
            raise UnfitNodeError(
                f"Node {socket.gethostname()}: {error.what}",
                "Check the GPU driver of the node, and that its torch is built for the GPU",
            ) from None
        if device.type == "cuda" and self.resources.gpus < 1:
            total = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(max(self.resources.gpus - CUDA_CONTEXT_BYTES / total, 0.01))
        return device

    def _is_on_new_node(self) -> bool:
        """Return whether this process runs on a node that joined after the nodes were checked."""
        if self.checked_node_ids is None:
            return False
        import ray  # needed on a cluster only

        return ray.get_runtime_context().get_node_id() not in self.checked_node_ids

    def _check_owner(self, owner_token: str) -> None:
        """Check that this machine sees the driver's storage, and that no other driver has claimed it."""
        owner, where = self.storage.owner(), self.storage.display_name
        if not owner:
            raise UnfitNodeError(
                f"Node {socket.gethostname()} does not see what the driver wrote to {where}",
                "Give every node access to the storage, then resume",
            )
        if owner != owner_token:
            raise UnfitNodeError(
                f"The campaign was taken over by another driver, or {where} is not shared with node "
                f"{socket.gethostname()}",
                "Leave the campaign to the other driver, or give every node access to the storage and resume",
            )

    def training_config(self, params: Mapping[str, Any]) -> TrainingConfig:
        """Return the recipe of a trial.

        Args:
            params: the six hyperparameters of the trial, by name.
        """
        return Hyperparameters.pick(params).apply(self.base)


def rounded_blocks(scores: Sequence[float]) -> tuple[float, ...]:
    """Return scores on blocks of val's time with six significant digits, so that the journal stays short.

    A tenth of val tells two trials apart by no less than a thousandth.
    """
    return tuple(float(f"{score:.6g}") for score in scores)


def make_epoch_record(result: EpochResult, val_blocks: Sequence[float] | None = None) -> EpochRecord:
    """Make the record of an epoch that the trainer has run.

    Args:
        result: the result of the epoch.
        val_blocks: its score on each block of val's time, at the first rung.
    """
    return EpochRecord(
        epoch=result.epoch,
        value=result.value,
        score=result.score,
        best_epoch=result.best_epoch,
        train_loss=result.train_loss,
        learning_rate=result.learning_rate,
        seconds=result.seconds,
        metrics=result.metrics,
        best_metrics=result.best_metrics,
        val_blocks=None if val_blocks is None else rounded_blocks(val_blocks),
    )


def classify_error(error: Exception) -> TrainingFailure:
    """Return the failure that an error in a training process stands for, with its cause and a one-line reason.

    Args:
        error: the error that the training raised.
    """
    if isinstance(error, StorageError):
        return TrainingFailure("storage", str(error))
    if isinstance(error, UnfitNodeError):
        return TrainingFailure("unfit node", str(error))
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    is_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in message
    return TrainingFailure("out of memory" if is_memory else "failure", message[:500])
