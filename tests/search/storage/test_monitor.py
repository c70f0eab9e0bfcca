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
def test_what_is_written_at_the_end_waits_for_its_storage(patience: float, outcome: str) -> None:
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

    watch = StorageMonitor(storage, clock=lambda: now, patience=patience, start=at_once)
    try:
        said = watch.retry_until_available(write, wait=wait)
    except StorageError as error:
        said = str(error)
    assert outcome in said
    assert 20 < now < 40


def test_what_a_storage_that_answers_does_not_do_is_not_tried_without_end() -> None:
    tried = 0
    now = 0.0

    def act() -> None:
        nonlocal tried
        tried += 1
        raise StorageError("it may not be read", "Let this machine in")

    def wait(seconds: float) -> None:
        nonlocal now
        now += seconds

    with pytest.raises(StorageError, match="may not be read"):
        StorageMonitor(Unsteady(), clock=lambda: now, start=at_once).retry_until_available(act, wait=wait)
    assert 1 < tried < 20


def test_who_waits_for_a_storage_can_be_told_to_end() -> None:
    storage = Unsteady()
    storage.up = False
    with pytest.raises(KeyboardInterrupt):
        StorageMonitor(storage, start=at_once).retry_until_available(lambda: storage.write("table", b""), lambda: True)


def test_what_went_wrong_in_the_background_is_known_here() -> None:
    reached = threading.Event()

    def fail() -> None:
        reached.set()
        raise StorageError("down", "Check")

    future: Future[None] = in_background(fail)
    assert reached.wait(10)
    with pytest.raises(StorageError, match="down"):
        future.result(10)
