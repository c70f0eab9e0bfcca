"""Whether a campaign's storage answers: the search, the incumbent and the confirmation wait for it together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from search.storage.filesystem import Storage, StorageError

PATIENCE_SECONDS = 3600.0
"""How long a campaign waits for a storage that does not answer."""
RETRY_SECONDS = 5.0
_PROBE, _TRIES = ".probe", 5
Found = TypeVar("Found")


def in_background(call: Callable[[], None]) -> Future[None]:
    """Start a call that nobody waits for, not even the end of the program."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            call()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, daemon=True).start()
    return future


class StorageMonitor:
    """Whether a storage answers, once it has failed: it is tried now and then, until patience is at its end.

    It is tried in the background: a server that hangs, instead of refusing, would hold the whole campaign.
    """

    def __init__(
        self,
        storage: Storage,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE_SECONDS,
        start: Callable[[Callable[[], None]], Future[None]] = in_background,
    ) -> None:
        """Watch `storage`; `say` is told when it fails and when it answers again; `start` makes the attempts."""
        self._storage = storage
        self._say = say
        self._clock = clock
        self._patience = patience
        self._start = start
        self._attempt: Future[None] | None = None
        self._reason = ""
        self._failed_at: float | None = None
        self._tried_at = 0.0

    def report_failure(self, reason: str) -> None:
        """Take note that it did not do what it was asked."""
        self._reason = reason
        if self._failed_at is None:
            self._failed_at = self._tried_at = self._clock()
            self._say(f"{reason} No trial is started until it does.")

    @property
    def is_failing(self) -> bool:
        """Whether it has failed, and not answered since."""
        return self._failed_at is not None

    def is_available(self) -> bool:
        """Whether it can be used, as far as is known; where it had failed, it is tried every few seconds.

        Raises:
            StorageError: it has not answered for too long.
        """
        if self._failed_at is None:
            return True
        now = self._clock()
        if self._attempt is None and now - self._tried_at >= RETRY_SECONDS:
            self._tried_at = now
            self._attempt = self._start(lambda: self._storage.write(_PROBE, b""))
        if self._attempt is not None and self._attempt.done():
            attempt, self._attempt = self._attempt, None
            try:
                attempt.result()
            except StorageError as error:
                self._reason = error.what
            else:
                self._failed_at = None
                self._say("The storage answers again.")
                return True
        if now - self._failed_at > self._patience:
            raise StorageError(
                f"The storage has not answered for {self._patience / 60:.0f} min: {self._reason.rstrip('.')}",
                "Bring it up, then resume",
            )
        return False

    def retry_until_available(
        self,
        act: Callable[[], Found],
        is_over: Callable[[], bool] = lambda: False,
        wait: Callable[[float], None] = time.sleep,
    ) -> Found:
        """Do what takes the storage, again and again until it answers; returns what that gives.

        Raises:
            StorageError: it has not answered for too long; or it answers, and does not do this.
            KeyboardInterrupt: `is_over` said that nobody waits any more.
        """
        for _ in range(_TRIES):
            try:
                return act()
            except StorageError as error:
                self.report_failure(str(error))
            while not self.is_available():
                if is_over():
                    raise KeyboardInterrupt
                wait(RETRY_SECONDS / 5)
        return act()
