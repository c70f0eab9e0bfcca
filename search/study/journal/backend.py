"""The journal: an append-only file of JSON lines, in Optuna's own format, with one writer.

Optuna's backend for such files appends to a last line that a crash left incomplete, and can wait forever for a stale
lock. This one locks the file by `flock`, which the kernel releases however the process ends, cuts off what a crash left
incomplete, and writes the lines of one transaction at once. Programs that read Optuna's journals, such as its
dashboard, read these.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from core.errors import ConfigError
from core.files import try_lock
from search.study.journal.file import ACT, LINES, read_committed

PROBE_SECONDS = 1.0
"""How long a lock is waited for: whoever asks whether the journal is held locks it for a moment."""


class Journal(BaseJournalBackend):
    """Writes a journal file, which it locks against all other processes."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; cut off a last transaction that a crash left incomplete.

        Args:
            path: the journal, in an existing folder.

        Raises:
            ConfigError: another process has locked the file, it is damaged, or it cannot be written.
        """
        self.path = path.absolute()
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise ConfigError(f"{path} cannot be opened ({error.strerror})", "Check the folder's permissions") from None
        try:
            if not _lock(self._file, path):
                raise ConfigError(
                    f"Campaign {path.parent.name} is being run by another process",
                    "Wait for that process, or stop it first",
                )
            lines, size = read_committed(path)
            os.ftruncate(self._file, size)
        except OSError as error:
            os.close(self._file)
            raise ConfigError(
                f"{path} cannot be written ({error.strerror})", "Free disk space, then run the same command again"
            ) from None
        except ConfigError:
            os.close(self._file)
            raise
        self._unread = lines  # the lines that Optuna has not read yet, and perhaps some before them
        self._first_unread = 0
        self._pending: list[dict[str, Any]] = []  # lines that are not written yet
        self._act: dict[str, Any] | None = None

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the lines from this number on, including those of an unfinished transaction."""
        del self._unread[: log_number_from - self._first_unread]
        self._first_unread = log_number_from
        return list(self._unread)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines: at once, or at the end of the `transaction` around the call."""
        if self._act and not self._pending:
            logs = [{**logs[0], ACT: self._act}, *logs[1:]]
        self._unread += logs
        self._pending += logs
        if self._act is None:
            self._write()

    @contextmanager
    def transaction(self, act: dict[str, Any]) -> Iterator[None]:
        """Write all lines appended in the block at once when it ends well, and none of them otherwise.

        After a failure the study in memory is ahead of the file, so the process must not use it any more.

        Args:
            act: what the program does: `kind`, `at` in seconds, and more by kind; stored in the first line.
        """
        self._act = dict(act)
        try:
            yield
            self._write()
        finally:
            self._act = None
            self._pending.clear()

    def _write(self) -> None:
        if self._act:
            self._act[LINES] = len(self._pending)
        content = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in self._pending).encode()
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):  # what stays of it is cut off when the journal is opened again
                os.ftruncate(self._file, before)  # leave no transaction half written
            raise ConfigError(
                f"{self.path} cannot be written ({error.strerror})", "Free disk space, then resume the campaign"
            ) from None
        self._pending.clear()

    def last_number(self, key: str, default: float) -> float:
        """Return a number of the last act that holds it; call this before Optuna reads the lines.

        Args:
            key: key of the number in the acts, such as `at`.
            default: the number to return if no act holds the key.
        """
        numbers = (line[ACT][key] for line in reversed(self._unread) if key in line.get(ACT, {}))
        return float(next(numbers, default))

    def close(self) -> None:
        """Close and unlock the file."""
        os.close(self._file)


def _lock(file: int, path: Path) -> bool:
    """Lock the open journal; return whether that succeeded within the time that a probe could take."""
    deadline = time.monotonic() + PROBE_SECONDS
    while not try_lock(file, path):
        if time.monotonic() > deadline:
            return False
        time.sleep(PROBE_SECONDS / 50)
    return True


class JournalReader(BaseJournalBackend):
    """Holds the lines of a journal file for reading, perhaps while another process writes it."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        """Take the lines of a journal; `open` reads them from a file."""
        self.lines = lines

    @classmethod
    def open(cls, path: Path) -> JournalReader:
        """Read the complete transactions of a file.

        Args:
            path: path of the journal file.

        Raises:
            ConfigError: the file is missing or damaged.
        """
        return cls(read_committed(path)[0])

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the lines from this number on."""
        return self.lines[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refuse to write.

        Raises:
            RuntimeError: always, since the journal is open for reading.
        """
        raise RuntimeError("the journal is open for reading and cannot be written")
