from __future__ import annotations

import threading

import pytest

from search.storage import removal
from search.storage.filesystem import StorageError
from search.storage.removal import background_removal


def test_all_removals_are_done_in_their_order_before_the_block_ends() -> None:
    done: list[int] = []
    with background_removal() as remove:
        for number in range(100):
            remove(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == list(range(100))


def test_a_removal_that_fails_is_left_out() -> None:
    done: list[str] = []

    def fail() -> None:
        raise StorageError("It is not available", "Wait")

    with background_removal() as remove:
        remove(fail)
        remove(lambda: done.append("next"))
    assert done == ["next"]


def test_nothing_is_tried_while_the_storage_is_known_to_fail() -> None:
    done: list[str] = []
    with background_removal(lambda: True) as remove:
        remove(lambda: done.append("tried"))
    assert done == []


def test_a_storage_that_hangs_holds_neither_the_caller_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "DRAIN_SECONDS", 0.05)
    released = threading.Event()
    with background_removal() as remove:
        for _ in range(3):
            remove(lambda: bool(released.wait()) or None)
    released.set()
