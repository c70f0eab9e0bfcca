"""What a campaign needs of whatever runs its trainings: Ray, or this process alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from core.data.dataset import Dataset
from search.cluster.nodes import Node
from search.cluster.resources import TrialResources
from search.engine.job import TrialJob
from search.storage.filesystem import Storage
from search.study.controller import Controller
from search.study.retries import TrainingFailure


@dataclass(frozen=True)
class Finished:
    """The last item of a stream whose training ended well."""


class Stream(Protocol):
    """The results of one training outside the study, as they come."""

    def take(self) -> Any | TrainingFailure | Finished:
        """Return the next result, and wait for it if need be; a failure or `Finished` is the last."""


class Engine(Protocol):
    """Runs trainings: the trials of a study, and trainings outside it (the incumbent, the cells of a confirmation)."""

    def session(self) -> AbstractContextManager[None]:
        """Keep the means of running trainings available while the block lasts."""

    def share(self, dataset: Dataset) -> Any:
        """Put a dataset where every training process can reach it; returns a handle to pass on."""

    def check_nodes(
        self, nodes: Sequence[Node], resources: TrialResources, dataset: Dataset, storage: Storage | None
    ) -> None:
        """Check every node of a cluster before anything is trained there, and print what was found.

        Raises:
            UnfitNodeError: a node cannot take part; the message names the node and the remedy.
        """

    def run_trials(
        self,
        job: TrialJob,
        dataset: Any,
        controller: Controller,
        scratch: Path,
        on_step: Callable[[], None],
        starting: int,
    ) -> None:
        """Run the trials that the controller hands out, until it has no more.

        Args:
            job: what all trials of the campaign share.
            dataset: handle of what trials see, from `share`.
            controller: hands out trials, and is handed every report before the engine acts on it.
            scratch: folder for the engine's own files, which nobody else needs.
            on_step: called often, to look after what runs beside the trials.
            starting: how many trials will start at once at the beginning.
        """

    def start(
        self, training: Callable[..., Iterator[Any]], arguments: Sequence[Any], resources: TrialResources
    ) -> Stream:
        """Start a training outside the study.

        Args:
            training: a generator function, called in a training process; what it yields are the results. Errors that
                it raises become a `TrainingFailure`.
            arguments: its arguments; handles from `share` arrive as the datasets that they stand for.
            resources: what the process is given.
        """

    def wait(self, streams: Sequence[Stream], seconds: float) -> list[Stream]:
        """Return the streams that have a result to take, after waiting up to some seconds for one."""
