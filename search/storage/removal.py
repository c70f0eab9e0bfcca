"""Removes files of ended trainings in the background: a storage that hangs must not hold the campaign."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from search.storage.filesystem import StorageError

DRAIN_SECONDS = 20.0
"""How long the end of a run waits for removals; what is not removed by then stays, and does no harm."""
Submit = Callable[[Callable[[], None]], None]


@contextmanager
def background_removal(is_failing: Callable[[], bool] = lambda: False) -> Iterator[Submit]:
    """Run removals one after the other in a thread while the block lasts; one that fails is left out.

    Args:
        is_failing: returns whether the storage is known to be unavailable; then nothing is tried.

    Yields:
        a function that takes a removal, and returns at once.
    """
    removals: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def run() -> None:
        while (remove := removals.get()) is not None:
            if not is_failing():
                with suppress(StorageError):
                    remove()

    thread = threading.Thread(target=run, name="removal", daemon=True)
    thread.start()
    try:
        yield removals.put
    finally:
        removals.put(None)
        thread.join(DRAIN_SECONDS)
