"""Runs the trainings outside the study, incumbent and cells of a confirmation, and retries them like trials."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core.errors import PresetSearchError
from search.cluster.resources import TrialResources
from search.engine.protocol import Engine, Finished, Stream
from search.storage.filesystem import StorageError
from search.storage.monitor import StorageMonitor
from search.study.retries import RetryPolicy, TrainingFailure

_LOG = logging.getLogger(__name__)
POLL_SECONDS = 0.5


class TrainingTask(ABC):
    """One training outside the study, which receives its results and learns of its end.

    Attributes:
        deaths: the reason of each death of its process since the last new result, in their order.
        refusals: how often in a row the storage was not available.
    """

    def __init__(self) -> None:
        self.deaths: list[str] = []
        self.refusals = 0

    @abstractmethod
    def attempt(self) -> tuple[Callable[..., Iterator[Any]], Sequence[Any]]:
        """Begin another attempt.

        Returns:
            the generator function to call in a training process, and its arguments, see `Engine.start`.
        """

    @abstractmethod
    def on_result(self, result: Any) -> bool:
        """Handle a result that the training has yielded.

        Args:
            result: the value that the generator function yielded.

        Returns:
            whether the result is new; an earlier attempt may have yielded it already.
        """

    @abstractmethod
    def on_finished(self) -> None:
        """Handle that the training has succeeded."""

    @abstractmethod
    def on_given_up(self, failure: TrainingFailure, error: PresetSearchError | None) -> None:
        """Handle that the training has failed for good.

        Args:
            failure: the failure of the last attempt.
            error: the error to raise if nothing can go on without this training, as when a storage stays away; None if
                the failure concerns only this training.
        """


class TaskRunner:
    """Starts tasks as slots become free, takes their results, and restarts them as the retry policy decides."""

    def __init__(
        self,
        engine: Engine,
        resources: TrialResources,
        attempts: int,
        monitor: StorageMonitor | None = None,
        max_concurrent: int = 1,
    ) -> None:
        """Prepare to run tasks.

        Args:
            engine: the engine that runs them.
            resources: the resources that the process of each task gets.
            attempts: how often a training may be begun, see `RetryPolicy.attempts`.
            monitor: knows whether a remote storage is available; None where files go to this machine's own disk.
            max_concurrent: number of tasks that may run at a time.
        """
        self._engine = engine
        self._resources = resources
        self._policy = RetryPolicy(attempts, has_remote_storage=monitor is not None)
        self._monitor = monitor
        self._max_concurrent = max_concurrent
        self._waiting: deque[TrainingTask] = deque()
        self._running: list[tuple[Stream, TrainingTask]] = []

    def add(self, task: TrainingTask) -> None:
        """Queue a task, which starts in the first `poll` that finds a free slot.

        Args:
            task: the task to run.
        """
        self._waiting.append(task)

    @property
    def is_idle(self) -> bool:
        """Whether no task waits or runs."""
        return not self._waiting and not self._running

    def poll(self, seconds: float = 0.0) -> None:
        """Start the tasks that have a free slot, then take the results that are ready.

        Args:
            seconds: longest time to wait for a result.

        Raises:
            PresetSearchError: a task that is given up raised it, see `TrainingTask.on_given_up`.
        """
        self._start_waiting()
        if not self._running:
            time.sleep(seconds)
            return
        ready = self._engine.wait([stream for stream, _ in self._running], seconds)
        for stream, task in list(self._running):
            if stream in ready:
                self._take(stream, task)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._max_concurrent:
            try:
                if self._monitor is not None and not self._monitor.is_available():
                    return
            except StorageError as error:  # the storage has been unavailable for too long
                waiting, self._waiting = self._waiting, deque()
                for task in waiting:
                    task.on_given_up(TrainingFailure("storage", str(error)), error)
                return
            task = self._waiting.popleft()
            training, arguments = task.attempt()
            self._running.append((self._engine.start(training, arguments, self._resources), task))

    def _take(self, stream: Stream, task: TrainingTask) -> None:
        result = stream.take()
        if isinstance(result, TrainingFailure):
            self._running.remove((stream, task))
            self._retry_or_give_up(task, result)
        elif isinstance(result, Finished):
            self._running.remove((stream, task))
            task.on_finished()
        else:
            task.refusals = 0
            if task.on_result(result):
                task.deaths.clear()

    def _retry_or_give_up(self, task: TrainingTask, failure: TrainingFailure) -> None:
        if failure.cause in ("death", "out of memory"):
            task.deaths.append(failure.reason)
        elif failure.cause == "storage":
            task.refusals += 1
        consequence = self._policy.decide(failure.cause, len(task.deaths), task.refusals)
        details = {"cause": failure.cause, "reason": failure.reason, "deaths": len(task.deaths)}
        _LOG.warning("training process failed", extra={"task": str(task), **details, "consequence": consequence})
        match consequence:
            case "retry":
                if failure.cause == "storage" and self._monitor is not None:
                    self._monitor.report_failure(failure.reason)
                self._waiting.append(task)
            case "give up":
                task.on_given_up(failure, None)
            case "end campaign":
                task.on_given_up(failure, self._policy.campaign_error(failure))
