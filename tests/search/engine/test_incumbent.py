"""Tests of the incumbent's training on an engine that plays prepared results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from core import presets
from core.errors import ConfigError
from search.cluster.resources import TrialResources
from search.engine.in_process import InProcessEngine
from search.engine.incumbent import IncumbentTraining
from search.engine.job import TrialJob
from search.engine.protocol import Stream
from search.engine.tasks import TaskRunner
from search.results.folder import CampaignFolder
from search.storage.filesystem import Storage
from search.storage.monitor import StorageMonitor
from search.study.retries import TrainingFailure
from search.study.trial_record import EpochRecord
from tests.helpers.trial_records import epoch_record
from tests.helpers.unsteady_storage import at_once

Outcomes = list[list[EpochRecord | TrainingFailure]]
EPOCHS: list[EpochRecord | TrainingFailure] = [epoch_record(number, 0.1 * number) for number in (1, 2)]
REFUSED = TrainingFailure("storage", "s3://bucket cannot be read.")
DIED = TrainingFailure("death", "killed")


class PlayedEngine(InProcessEngine):
    """Plays the trainings: each start takes the next of the outcomes."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes
        self.attempts: list[int] = []

    def start(
        self, training: Callable[..., Iterator[Any]], arguments: Sequence[Any], resources: TrialResources
    ) -> Stream:
        _, _, attempt_id, _ = arguments
        self.attempts.append(attempt_id)
        return super().start(lambda: iter(self.outcomes.pop(0)), [], resources)


class Played:
    """The incumbent's training under way."""

    def __init__(self, folder: Path, outcomes: Outcomes, monitor: StorageMonitor | None = None, **more: Any) -> None:
        recipe = presets.load_preset("quick_experiment").training_config(size="quick", metric="macro_f1", seed=0)
        resources = TrialResources("cpu", 1, 0.0, 1)
        job = TrialJob(recipe, resources, Storage(str(folder / "storage")))
        self.engine = PlayedEngine(outcomes)
        self.training = IncumbentTraining(job, None, {}, CampaignFolder(folder), **more)
        self.runner = TaskRunner(self.engine, resources, attempts=4, monitor=monitor)
        if not self.training.ended:
            self.runner.add(self.training)

    def poll(self, times: int = 5) -> None:
        for _ in range(times):
            self.runner.poll()


def _monitor(tmp_path: Path, clock: Callable[[], float]) -> StorageMonitor:
    return StorageMonitor(Storage(str(tmp_path / "storage")), clock=clock, start=at_once)


def test_no_attempt_number_is_given_twice_wherever_the_driver_dies(tmp_path: Path) -> None:
    first = Played(tmp_path, [[]])
    first.runner._start_waiting()  # the driver dies before there is an epoch
    second = Played(tmp_path, [EPOCHS])
    second.poll()
    assert (first.engine.attempts, second.engine.attempts) == ([1], [2])
    assert second.training.record.outcome == "complete"


def test_attempts_after_a_takeover_have_higher_identifiers_than_any_before(tmp_path: Path) -> None:
    played = Played(tmp_path, [[]], generation=1)
    played.poll()
    assert played.engine.attempts[0] > 1000


def test_a_dead_process_is_restarted_up_to_a_bound(tmp_path: Path) -> None:
    played = Played(tmp_path, [[EPOCHS[0], DIED]] * 9)
    played.poll(40)
    assert len(played.engine.attempts) == 4
    assert (played.training.record.outcome, played.training.record.reason) == ("failed", "killed")
    assert len(played.training.record.epochs) == 1


def test_a_training_that_failed_by_itself_is_not_restarted(tmp_path: Path) -> None:
    played = Played(tmp_path, [[TrainingFailure("failure", "NonFiniteLossError: at step 3")]] * 9)
    played.poll(40)
    assert len(played.engine.attempts) == 1
    assert played.training.record.reason == "NonFiniteLossError: at step 3"


def test_the_training_waits_for_a_storage_that_comes_back(tmp_path: Path) -> None:
    now = 0.0
    played = Played(tmp_path, [[EPOCHS[0], REFUSED], [EPOCHS[1]]], _monitor(tmp_path, lambda: now))
    played.poll()
    assert (played.training.ended, len(played.engine.attempts)) == (False, 1)
    now = 10.0
    played.poll()
    record = played.training.record
    assert (record.outcome, len(record.epochs), len(played.engine.attempts)) == ("complete", 2, 2)


def test_a_storage_that_only_the_driver_reaches_ends_the_training(tmp_path: Path) -> None:
    now = 0.0
    played = Played(tmp_path, [[REFUSED]] * 9, _monitor(tmp_path, lambda: now))
    for _ in range(20):
        played.poll(1)
        now += 10.0
    assert (played.training.record.outcome, played.training.record.reason) == ("failed", REFUSED.reason)
    assert len(played.engine.attempts) == 5


def test_a_storage_that_stays_unavailable_ends_the_training(tmp_path: Path) -> None:
    now = 0.0
    monitor = StorageMonitor(Storage(str(tmp_path)), clock=lambda: now, patience=60, start=lambda _: Future())
    played = Played(tmp_path, [[REFUSED]], monitor)
    played.poll()
    now = 61.0
    played.poll()
    assert played.training.record.outcome == "failed"
    assert "has not answered for 1 min" in played.training.record.reason


def test_an_undefined_value_is_read_back(tmp_path: Path) -> None:
    Played(tmp_path, [[epoch_record(1, float("nan"))]]).poll()
    again = Played(tmp_path, [])
    assert again.training.record.outcome == "complete"
    assert math.isnan(again.training.record.value)


@pytest.mark.parametrize("damage", ["{", "[]", '{"rows": [{}], "attempts": 1, "complete": true}'])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    (tmp_path / "incumbent.json").write_text(damage)
    with pytest.raises(ConfigError, match=r"incumbent\.json cannot be read"):
        Played(tmp_path, [])
