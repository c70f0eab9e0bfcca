"""A storage that a test can take down, and probes of it that end at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from search.storage.filesystem import Storage, StorageError


class Unsteady(Storage):
    """A storage that can be written only while `up` is true; it counts attempts in `tried`."""

    def __init__(self) -> None:
        super().__init__("s3://bucket")
        object.__setattr__(self, "up", True)
        object.__setattr__(self, "tried", 0)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def write(self, name: str, content: bytes) -> None:
        self.tried += 1
        if not self.up:
            raise StorageError(f"{self.location}/{name} cannot be written", "Check")


def at_once(call: Callable[[], None]) -> Future[None]:
    """Run a call to its end, where `StorageMonitor` would start it in the background."""
    future: Future[None] = Future()
    try:
        future.set_result(call())
    except StorageError as error:
        future.set_exception(error)
    return future
