"""The runner of trainings outside the study; with the incumbent's training it is tested in `test_incumbent`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError, PresetSearchError
from search.cluster.nodes import UnfitNodeError
from search.cluster.resources import TrialResources
from search.engine.in_process import InProcessEngine
from search.engine.protocol import Stream
from search.engine.tasks import TaskRunner, TrainingTask
from search.storage.filesystem import StorageError
from search.storage.monitor import StorageMonitor
from search.study.retries import TrainingFailure
from tests.helpers.unsteady_storage import Unsteady, at_once

RESOURCES = TrialResources("cpu", 1, 0.0, 1)


class Counting(InProcessEngine):
    """Notes how many trainings are under way at a time."""

    def __init__(self) -> None:
        self.most = 0

    def wait(self, streams: Sequence[Stream], seconds: float) -> list[Stream]:
        self.most = max(self.most, len(streams))
        return super().wait(streams, seconds)


class Task(TrainingTask):
    """Yields numbers; each attempt raises the next of the errors at its end."""

    def __init__(self, name: str = "a", errors: Sequence[Exception] = (), results: int = 2) -> None:
        super().__init__()
        self.name = name
        self.errors = list(errors)
        self.count = results
        self.attempts = 0
        self.results: list[int] = []
        self.end = ""
        self.error: PresetSearchError | None = None

    def attempt(self) -> tuple[Callable[..., Iterator[int]], Sequence[Any]]:
        self.attempts += 1
        error = self.errors.pop(0) if self.errors else None

        def train() -> Iterator[int]:
            yield from range(self.count)
            if error is not None:
                raise error

        return train, ()

    def on_result(self, result: int) -> bool:
        is_new = result not in self.results
        self.results.append(result)
        return is_new

    def on_finished(self) -> None:
        self.end = "finished"

    def on_given_up(self, failure: TrainingFailure, error: PresetSearchError | None) -> None:
        self.end, self.error = failure.cause, error


def _run(runner: TaskRunner, *tasks: Task, polls: int = 100) -> None:
    for task in tasks:
        runner.add(task)
    for _ in range(polls):
        if runner.is_idle:
            return
        runner.poll()
    raise AssertionError("the tasks never ended")


def test_every_result_is_taken_and_then_the_end() -> None:
    task = Task(results=3)
    _run(TaskRunner(InProcessEngine(), RESOURCES, attempts=2), task)
    assert (task.results, task.end, task.attempts) == ([0, 1, 2], "finished", 1)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_more_tasks_run_at_a_time_than_there_is_room_for(limit: int) -> None:
    engine, tasks = Counting(), [Task(str(number)) for number in range(5)]
    _run(TaskRunner(engine, RESOURCES, attempts=2, max_concurrent=limit), *tasks)
    assert engine.most == limit
    assert [task.end for task in tasks] == ["finished"] * 5


def test_one_that_runs_out_of_memory_is_tried_again_up_to_the_bound() -> None:
    task = Task(errors=[MemoryError()] * 9)
    _run(TaskRunner(InProcessEngine(), RESOURCES, attempts=3), task)
    assert (task.attempts, task.end, task.error) == (3, "out of memory", None)
    assert len(task.deaths) == 3


def test_one_that_fails_by_itself_is_given_up_at_once_and_the_others_go_on() -> None:
    bad, good = Task("bad", [ValueError("wrong")]), Task("good")
    _run(TaskRunner(InProcessEngine(), RESOURCES, attempts=3), bad, good)
    assert (bad.attempts, bad.end, bad.error) == (1, "failure", None)
    assert good.end == "finished"


def test_an_unfit_node_ends_the_campaign() -> None:
    task = Task(errors=[UnfitNodeError("Node two has torch 1.0", "Install the same")])
    _run(TaskRunner(InProcessEngine(), RESOURCES, attempts=3), task)
    assert (task.attempts, task.end) == (1, "unfit node")
    assert isinstance(task.error, ConfigError)


def test_a_full_disk_ends_the_campaign_and_a_remote_storage_is_waited_for() -> None:
    error = StorageError("1.pt cannot be written (No space left on device)", "Free disk space")
    on_disk, remote = Task(errors=[error]), Task(errors=[error])
    _run(TaskRunner(InProcessEngine(), RESOURCES, attempts=3), on_disk)
    assert "Free disk space, then resume" in str(on_disk.error)
    now = 0.0
    monitor = StorageMonitor(Unsteady(), clock=lambda: now, start=at_once)
    runner = TaskRunner(InProcessEngine(), RESOURCES, attempts=3, monitor=monitor)
    runner.add(remote)
    for _ in range(5):
        runner.poll()
    assert (remote.attempts, remote.refusals, remote.end) == (1, 1, "")
    now = 10.0
    for _ in range(5):
        runner.poll()
    assert (remote.attempts, remote.refusals, remote.end) == (2, 0, "finished")


def test_an_error_that_a_given_up_task_raises_reaches_whoever_polls(tmp_path: Path) -> None:
    class Strict(Task):
        def on_given_up(self, failure: TrainingFailure, error: PresetSearchError | None) -> None:
            raise ConfigError(failure.reason, "Look")

    runner = TaskRunner(InProcessEngine(), RESOURCES, attempts=1)
    with pytest.raises(ConfigError, match="ValueError: wrong"):
        _run(runner, Strict(errors=[ValueError("wrong")]))
