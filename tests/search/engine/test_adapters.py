from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import (
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from search.engine.adapters import ControllerScheduler, classify_process_error, read_process_error
from search.engine.processes import STARTED
from search.study.controller import Rules
from search.study.retries import Cause, TrainingFailure
from search.study.settings import AshaVariant
from tests.helpers.controllers import ControllerFactory, start_trial
from tests.helpers.trial_records import epoch_record
from tests.search.engine.test_processes import KILLED


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OutOfMemoryError("1 worker(s) were killed due to the node running low on memory."), "out of memory"),
        (RayActorError(error_msg="The actor was killed because memory ran out."), "out of memory"),
        (NodeDiedError("Task failed because the node it was running on is dead or unavailable."), "lost node"),
        (RayActorError(error_msg="The actor died.\nThe actor died because its node has died. Node Id: 1"), "lost node"),
        (RayActorError(error_msg="The actor died.\nThe process was killed."), "death"),
        (ActorUnavailableError("The actor is unavailable", None), "death"),
        (WorkerCrashedError(), "death"),
        (None, "death"),
    ],
)
def test_the_cause_of_a_lost_process(error: Exception | None, cause: Cause) -> None:
    assert classify_process_error(error).cause == cause


def test_the_reason_of_an_error_that_a_process_raised_is_that_error() -> None:
    error = RayTaskError(
        "setup", "Traceback (most recent call last):\n  File x\nValueError: no room", ValueError("no room")
    )
    assert classify_process_error(error.as_instanceof_cause()) == TrainingFailure("death", "ValueError: no room")


def test_the_reason_for_the_loss_of_a_node_names_it() -> None:
    error = RayActorError(error_msg="The actor died.\nThe actor died because its node has died. Node Id: 1\n\tlost")
    assert classify_process_error(error).reason.endswith("The actor died because its node has died. Node Id: 1")


def _failed_trial(path: Path | None, number: int = 0) -> Any:
    """Return a trial as Tune hands it to the scheduler when its process was lost: its error is not uploaded yet."""
    config = {"assignment": SimpleNamespace(number=number)}
    return SimpleNamespace(config=config, pickled_error_file=path and str(path), get_error=lambda: None)


def test_the_error_of_a_lost_process_is_read_from_the_file_that_tune_has_just_written(
    controllers: ControllerFactory, tmp_path: Path
) -> None:
    controller = controllers.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2))
    start_trial(controller)
    path = tmp_path / "error.pkl"
    path.write_bytes(pickle.dumps(RayActorError(error_msg="It died.\nThe actor died because its node has died. Id: 1")))
    ControllerScheduler(controller).on_trial_error(None, _failed_trial(path))
    assert controller.study.trials[0].deaths == ["RayActorError: The actor died because its node has died. Id: 1"]


def test_an_error_that_cannot_be_read_is_the_death_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "error.pkl"
    for content in (b"torn", pickle.dumps("no error"), b""):
        path.write_bytes(content)
        assert read_process_error(_failed_trial(path)) is None
    assert read_process_error(_failed_trial(tmp_path / "missing")) is None
    assert read_process_error(_failed_trial(None)) is None


def _announce(scheduler: ControllerScheduler, number: int, pid: int) -> str:
    trial: Any = SimpleNamespace(config={"assignment": SimpleNamespace(number=number)})
    return scheduler.on_trial_result(None, trial, {"report": STARTED, "node_ip": "192.0.2.2", "pid": pid})


@pytest.mark.parametrize(("pids", "charged"), [((13851, 13850, 7), [1]), ((13850, 13851, 7), [0]), ((5, 6, 7), [])])
def test_a_loss_is_charged_to_the_trial_of_the_largest_killed_process(
    controllers: ControllerFactory, pids: tuple[int, ...], charged: list[int]
) -> None:
    controller = controllers.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=3))
    scheduler = ControllerScheduler(controller)
    for pid in pids:
        assert _announce(scheduler, start_trial(controller), pid) == "CONTINUE"
    scheduler.on_all_lost(OutOfMemoryError(KILLED))
    assert [trial.number for trial in controller.study.trials.values() if trial.deaths] == charged
    assert sorted(controller.waiting) == [0, 1, 2]
    assert controller.concurrency == 2


def test_a_process_that_takes_over_another_trial_is_charged_to_that_one(controllers: ControllerFactory) -> None:
    controller = controllers.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2))
    scheduler = ControllerScheduler(controller)
    for _ in range(2):
        _announce(scheduler, start_trial(controller), 13850)
    scheduler.on_all_lost(OutOfMemoryError(KILLED))
    assert [trial.number for trial in controller.study.trials.values() if trial.deaths] == [1]


@pytest.mark.parametrize(("variant", "answers"), [("stopping", ["CONTINUE", "STOP"]), ("promotion", ["STOP", "STOP"])])
def test_tune_stops_a_trial_that_ends_and_one_that_is_paused(
    controllers: ControllerFactory, variant: AshaVariant, answers: list[str]
) -> None:
    rules = Rules(max_epochs=4, grace=1, reduction=3, concurrency=2, variant=variant)
    controller = controllers.open(rules=rules)
    scheduler = ControllerScheduler(controller)
    trials: list[Any] = [SimpleNamespace(config={"assignment": controller.next_trial()}) for _ in range(2)]
    reports = [{"report": epoch_record(1, value)} for value in (0.5, 0.4)]
    given = [scheduler.on_trial_result(None, trial, report) for trial, report in zip(trials, reports, strict=True)]
    assert given == answers
