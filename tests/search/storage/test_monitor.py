from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from search.storage.filesystem import StorageError
from search.storage.monitor import StorageMonitor, in_background
from tests.helpers.unsteady_storage import Unsteady, at_once


@pytest.mark.parametrize(
    ("patience", "outcome"), [(60.0, "written"), (20.0, "has not answered for 0 min: s3://bucket")]
)
def test_a_write_waits_for_the_storage_as_long_as_there_is_patience(patience: float, outcome: str) -> None:
    storage = Unsteady()
    storage.up = False
    now = 0.0

    def write() -> str:
        storage.write("table", b"")
        return "written"

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds
        storage.up = now > 30

    monitor = StorageMonitor(storage, clock=lambda: now, patience=patience, start=at_once)
    try:
        result = monitor.retry_until_available(write, wait=wait)
    except StorageError as error:
        result = str(error)
    assert outcome in result
    assert 20 < now < 40


def test_an_action_that_fails_on_an_available_storage_is_not_retried_without_end() -> None:
    tried = 0
    now = 0.0

    def act() -> None:
        nonlocal tried
        tried += 1
        raise StorageError("it may not be read", "Give this machine access")

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    with pytest.raises(StorageError, match="may not be read"):
        StorageMonitor(Unsteady(), clock=lambda: now, start=at_once).retry_until_available(act, wait=wait)
    assert 1 < tried < 20


def test_waiting_for_a_storage_can_be_stopped() -> None:
    storage = Unsteady()
    storage.up = False
    with pytest.raises(KeyboardInterrupt):
        StorageMonitor(storage, start=at_once).retry_until_available(lambda: storage.write("table", b""), lambda: True)


def test_an_error_in_the_background_is_that_of_the_future() -> None:
    reached = threading.Event()

    def fail() -> None:
        reached.set()
        raise StorageError("down", "Check")

    future: Future[None] = in_background(fail)
    assert reached.wait(10)
    with pytest.raises(StorageError, match="down"):
        future.result(10)
