"""The journal: an append-only file of JSON lines, in Optuna's own format, with one writer.

Optuna's backend for such files lets a torn last line be glued to the next append, and can wait for ever on a stale
lock. This one holds the file by `flock`, which the kernel releases however its holder ends, cuts off what a crash tore,
and writes what belongs together in one piece. Whatever reads Optuna's journals (its dashboard) reads these.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from core.errors import ConfigError

ACT = "act"
"""Key beside Optuna's own in the first line of a piece: what the program was doing. Optuna does not look at it."""
LINES = "lines"
"""Key in an act: how many lines its piece has, by which one that a crash tore is known."""


class Journal(BaseJournalBackend):
    """A journal file that is open for writing, by this process alone."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; cut off what a crash left of a last piece.

        Raises:
            ConfigError: another process holds it, it is damaged, or it cannot be written.
        """
        self.path = path.absolute()
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise ConfigError(f"{path} cannot be opened ({error.strerror})", "Check the folder's permissions") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lines, whole = _read(path)
        except (OSError, ConfigError) as error:
            os.close(self._file)
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(
                f"Campaign {path.parent.name} is being run by another process", "Wait for it, or stop it first"
            ) from None
        os.ftruncate(self._file, whole)
        self._unread = lines  # of these, Optuna asks for what it has not seen yet
        self._first_unread = 0
        self._pending: list[dict[str, Any]] = []  # not written yet
        self._act: dict[str, Any] | None = None

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Lines from this number on, those of an unfinished `together` included."""
        del self._unread[: log_number_from - self._first_unread]
        self._first_unread = log_number_from
        return list(self._unread)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines: at once, or with the rest of the block that `together` is."""
        if self._act and not self._pending:
            logs = [{**logs[0], ACT: self._act}, *logs[1:]]
        self._unread += logs
        self._pending += logs
        if self._act is None:
            self._write()

    @contextmanager
    def together(self, act: dict[str, Any]) -> Iterator[None]:
        """Write all lines appended inside in one piece, when the block ends well; none of them otherwise.

        After a failure the study in memory is ahead of the file: the process must not go on with it.
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
            os.ftruncate(self._file, before)  # no half-written piece is left behind
            raise ConfigError(
                f"{self.path} cannot be written ({error.strerror})", "Make room, then resume the campaign"
            ) from None
        self._pending.clear()

    def last(self, key: str, otherwise: float) -> float:
        """What the last act that says so says of a number; only right before Optuna has read."""
        said = (line[ACT][key] for line in reversed(self._unread) if key in line.get(ACT, {}))
        return float(next(said, otherwise))

    def close(self) -> None:
        """Let others have the file."""
        os.close(self._file)


class JournalReader(BaseJournalBackend):
    """A journal file for reading, perhaps while another process writes it."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        """Take the lines."""
        self.lines = lines

    @classmethod
    def open(cls, path: Path) -> JournalReader:
        """Read the whole pieces of a file.

        Raises:
            ConfigError: it is missing or damaged.
        """
        return cls(_read(path)[0])

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Lines from this number on."""
        return self.lines[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refuse: this is for reading."""
        raise RuntimeError("a journal that is open for reading was to be written")


def committed_bytes(path: Path) -> bytes:
    """The content of a journal, perhaps while another process writes it, without a last piece that is not whole.

    Raises:
        ConfigError: it is missing or damaged.
    """
    return path.read_bytes()[: _read(path)[1]]


def _read(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a file and the bytes that they take; a last piece that a crash tore is left out.

    Raises:
        ConfigError: the file cannot be read, or another line than the last is no JSON object.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})", "Is this a campaign's folder?") from None
    lines: list[dict[str, Any]] = []
    texts = content.splitlines(keepends=True)
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text) if text.endswith(b"\n") else None
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            if number < len(texts):
                raise ConfigError(f"{path} is damaged at line {number}", "Restore it from a copy")
            break
        lines.append(line)
    whole = _whole_pieces(lines)
    return lines[:whole], sum(len(text) for text in texts[:whole])


def _whole_pieces(lines: list[dict[str, Any]]) -> int:
    """How many of the first lines make up whole pieces."""
    first = 0
    while first < len(lines):
        act = lines[first].get(ACT)
        count = act.get(LINES, 1) if isinstance(act, dict) else 1
        if first + count > len(lines):
            break
        first += count
    return first


def is_held(path: Path) -> bool:
    """Whether a process has the journal open for writing."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False
