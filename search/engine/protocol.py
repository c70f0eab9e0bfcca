"""The interface between a campaign and the engine that runs its trainings: Ray, or this process alone."""

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
    """The last item of a stream whose training succeeded."""


class Stream(Protocol):
    """The results of one training outside the study, in the order in which the training yields them."""

    def take(self) -> Any | TrainingFailure | Finished:
        """Return the next result, after waiting for it if necessary; a failure or `Finished` is the last."""


class Engine(Protocol):
    """Runs trainings: the trials of a study, and trainings outside it (the incumbent, the cells of a confirmation)."""

    def session(self) -> AbstractContextManager[None]:
        """Keep the engine running while the block lasts; all other methods are called inside it."""

    def share(self, dataset: Any) -> Any:
        """Put a dataset where every training process can reach it.

        Args:
            dataset: the dataset to share, or those of several folds in a sequence.

        Returns:
            a handle, to pass to `run_trials` or among the arguments of `start`.
        """

    def check_nodes(
        self, nodes: Sequence[Node], resources: TrialResources, dataset: Dataset, storage: Storage | None
    ) -> None:
        """Check every node of a cluster before anything is trained there, and print a table of the nodes.

        Args:
            nodes: the nodes of the cluster.
            resources: the share of a node that each trial gets.
            dataset: the dataset that trials see, which must fit into each node's memory.
            storage: the storage that each node must reach; None where files go to the driver's own disk.

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
            job: the part of a training that all trials share.
            dataset: handle of the dataset that trials see, from `share`.
            controller: hands out the trials, and gets every report before the engine acts on it.
            scratch: folder for the engine's own files, which can be deleted afterwards.
            on_step: function to call often, between the steps of trials, for work beside them.
            starting: number of trials that will start at once at the beginning.
        """

    def start(
        self, training: Callable[..., Iterator[Any]], arguments: Sequence[Any], resources: TrialResources
    ) -> Stream:
        """Start a training outside the study.

        Args:
            training: generator function to call in a training process; the values that it yields are the results. An
                error that it raises becomes a `TrainingFailure`.
            arguments: arguments of the function; a handle from `share` arrives as the dataset that it stands for.
            resources: the resources that the process gets.

        Returns:
            the stream of the results.
        """

    def wait(self, streams: Sequence[Stream], seconds: float) -> list[Stream]:
        """Wait until a stream has a result to take.

        Args:
            streams: the streams to wait for.
            seconds: longest time to wait.

        Returns:
            the streams that have a result; none if the time has passed without one.
        """
