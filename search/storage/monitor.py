"""Waits for a storage that has failed: the search, the incumbent and the confirmation share one monitor."""

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
"""Seconds between two attempts to reach a storage that has failed."""
_PROBE_FILE = ".probe"
_MAX_RETRIES = 5
Result = TypeVar("Result")


def in_background(call: Callable[[], None]) -> Future[None]:
    """Start a call in a thread that does not keep the program from ending, even if the call never returns."""
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
    """Knows whether a storage is available, and gives up when it has been unavailable for too long.

    The storage counts as available until a failure is reported. From then on a probe file is written now and then,
    until that succeeds. Probes run in the background: a server that hangs, instead of refusing, would otherwise hold
    the whole campaign.
    """

    def __init__(
        self,
        storage: Storage,
        notify: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE_SECONDS,
        start: Callable[[Callable[[], None]], Future[None]] = in_background,
    ) -> None:
        """Monitor a storage, which is assumed to be available.

        Args:
            storage: the storage to monitor.
            notify: called with a message when the storage fails, and when it is available again.
            clock: returns the time in seconds.
            patience: seconds after a failure until the storage is given up.
            start: starts a probe, and returns its future.
        """
        self._storage = storage
        self._notify = notify
        self._clock = clock
        self._patience = patience
        self._start = start
        self._probe: Future[None] | None = None
        self._reason = ""
        self._failed_at: float | None = None
        self._probed_at = 0.0

    def report_failure(self, reason: str) -> None:
        """Record that the storage failed to read or write a file.

        Args:
            reason: what went wrong, as a sentence.
        """
        self._reason = reason
        if self._failed_at is None:
            self._failed_at = self._probed_at = self._clock()
            self._notify(f"{reason} No training is started until the storage is available again.")

    @property
    def is_failing(self) -> bool:
        """Return whether the storage has failed and no probe has succeeded since."""
        return self._failed_at is not None

    def is_available(self) -> bool:
        """Return whether the storage can be used, as far as is known; probe it where it has failed.

        Raises:
            StorageError: the storage has been unavailable for longer than the patience.
        """
        if self._failed_at is None:
            return True
        now = self._clock()
        if self._probe is None and now - self._probed_at >= RETRY_SECONDS:
            self._probed_at = now
            self._probe = self._start(lambda: self._storage.write(_PROBE_FILE, b""))
        if self._probe is not None and self._probe.done():
            probe, self._probe = self._probe, None
            try:
                probe.result()
            except StorageError as error:
                self._reason = error.what
            else:
                self._failed_at = None
                self._notify("The storage is available again.")
                return True
        if now - self._failed_at > self._patience:
            raise StorageError(
                f"The storage has not answered for {self._patience / 60:.0f} min: {self._reason.rstrip('.')}",
                "Bring it up, then resume",
            )
        return False

    def retry_until_available(
        self,
        act: Callable[[], Result],
        is_over: Callable[[], bool] = lambda: False,
        wait: Callable[[float], None] = time.sleep,
    ) -> Result:
        """Call a function that uses the storage, again after each failure once the storage is available.

        Args:
            act: the function to call.
            is_over: returns whether to stop waiting for the storage.
            wait: waits a number of seconds.

        Returns:
            The result of `act`.

        Raises:
            StorageError: the storage has been unavailable for too long; or it is available, and `act` still fails.
            KeyboardInterrupt: `is_over` asked to stop waiting.
        """
        for _ in range(_MAX_RETRIES):
            try:
                return act()
            except StorageError as error:
                self.report_failure(str(error))
            while not self.is_available():
                if is_over():
                    raise KeyboardInterrupt
                wait(RETRY_SECONDS / 5)
        return act()
