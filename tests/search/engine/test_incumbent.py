"""How the incumbent's training is looked after; Ray is played. With real Ray: `tests/integration/test_run.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from core import presets
from search.cluster.resources import TrialResources
from search.engine import incumbent
from search.engine.incumbent import IncumbentTraining
from search.engine.job import NO_STORAGE, TRAINING, TrialJob
from search.storage.filesystem import Storage
from search.storage.monitor import StorageMonitor
from tests.helpers.trial_records import row
from tests.helpers.unsteady_storage import at_once

Outcomes = list[list[dict[str, Any]]]
EPOCHS = [{"outcome": TRAINING, "row": row(number, 0.1 * number)} for number in (1, 2)]
REFUSED = {"outcome": NO_STORAGE, "reason": "s3://bucket cannot be read."}


class Task:
    """Plays the remote function: each start takes the next of the outcomes."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes
        self.fences: list[int] = []

    def options(self, **_: Any) -> Task:
        return self

    def remote(self, job: TrialJob, dataset: Any, attempt_id: int, last_epoch: int) -> Iterator[dict[str, Any]]:
        self.fences.append(attempt_id)
        return iter(self.outcomes.pop(0))


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Task, IncumbentTraining]]:
    """Starts a training that has these outcomes."""
    monkeypatch.setattr(incumbent.ray, "wait", lambda streams, timeout: (streams, []))
    monkeypatch.setattr(incumbent.ray, "get", lambda told: told)
    recipe = presets.load_preset("quick_experiment").training_config(size="quick", metric="macro_f1", seed=0)
    storage = Storage(str(tmp_path / "storage"))

    def begin(outcomes: Outcomes, **more: Any) -> tuple[Task, IncumbentTraining]:
        task = Task(outcomes)
        monkeypatch.setattr(incumbent, "_train", task)
        job = TrialJob(recipe, TrialResources("cpu", 1, 0.0, 1), storage)
        return task, IncumbentTraining(job, None, {}, tmp_path / "incumbent.json", lambda _: None, **more)

    return begin


def _watch(tmp_path: Path, clock: Callable[[], float]) -> StorageMonitor:
    return StorageMonitor(Storage(str(tmp_path / "storage")), clock=clock, start=at_once)


def test_no_attempts_number_is_given_twice_wherever_the_driver_dies(start: Any, tmp_path: Path) -> None:
    first, _ = start([[]])  # the driver dies before there is an epoch
    second, training = start([EPOCHS])
    assert (first.fences, second.fences) == ([1], [2])
    training.poll()
    assert training.log.outcome == "complete"


def test_after_the_campaign_was_taken_over_attempts_are_beyond_those_of_whoever_ran_it(start: Any) -> None:
    task, _ = start([[]], generation=1)
    assert task.fences[0] > 1000


def test_a_storage_that_comes_back_is_waited_for(start: Any, tmp_path: Path) -> None:
    now = 0.0
    watch = _watch(tmp_path, lambda: now)
    task, training = start([[EPOCHS[0], REFUSED], [EPOCHS[1]]], watch=watch)
    training.poll()
    assert (training.ended, len(task.fences)) == (False, 1)
    now = 10.0
    training.poll()
    assert (training.log.outcome, len(training.log.epochs), len(task.fences)) == ("complete", 2, 2)


def test_a_storage_that_answers_the_driver_alone_ends_it(start: Any, tmp_path: Path) -> None:
    now = 0.0
    task, training = start([[REFUSED]] * 9, watch=_watch(tmp_path, lambda: now), attempts=4)
    for _ in range(9):
        training.poll()
        now += 10.0
    assert (training.log.outcome, training.log.reason) == ("failed", REFUSED["reason"])
    assert len(task.fences) == 5


def test_a_storage_that_stays_away_ends_it(start: Any, tmp_path: Path) -> None:
    now = 0.0
    watch = StorageMonitor(Storage(str(tmp_path)), clock=lambda: now, patience=60, start=lambda _: Future())
    _, training = start([[REFUSED]], watch=watch)
    training.poll()
    now = 61.0
    training.poll()
    assert training.log.outcome == "failed"
    assert "has not answered for 1 min" in training.log.reason


def test_a_value_that_was_not_defined_is_read_again(start: Any) -> None:
    undefined = {"outcome": TRAINING, "row": row(1, float("nan"))}
    _, training = start([[undefined]])
    training.poll()
    _, again = start([])
    assert again.log.outcome == "complete"
    assert math.isnan(again.log.value)
