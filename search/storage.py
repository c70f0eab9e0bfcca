"""Where the files of a campaign's trainings lie: a folder of this machine or a shared one, or `s3://` or `gs://`.

Every file is there whole or not at all: object stores publish one when it is closed, folders when it is renamed.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

from pyarrow import fs

from core.errors import ConfigError
from core.files import write_bytes

_OPTIONS = {"s3": ("region", "scheme", "endpoint_override"), "gs": ("scheme", "endpoint_override")}
"""What may be said behind the question mark."""
_CONNECT_SECONDS, _REQUEST_SECONDS = 5.0, 30.0


PATIENCE_SECONDS = 3600.0
"""How long a campaign waits for a storage that does not answer."""
RETRY_SECONDS = 5.0
_PART = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*")
_PROBE, _MARK = ".probe", ".mark"


Found = TypeVar("Found")


class StorageError(ConfigError):
    """The storage does not take or give files at the moment."""


@dataclass(frozen=True)
class Storage:
    """A folder, by its absolute path or its URI. It holds no connection, so it can be sent to other processes."""

    place: str

    @property
    def is_remote(self) -> bool:
        """Whether it is an object store."""
        return "://" in self.place

    @property
    def shown(self) -> str:
        """Where it is, for people: without its options."""
        return self.place.partition("?")[0] if self.is_remote else self.place

    def at(self, name: str) -> Storage:
        """A folder in it."""
        if not self.is_remote:
            return Storage(f"{self.place}/{name}")
        address, question, options = self.place.partition("?")
        return Storage(f"{address.rstrip('/')}/{name}{question}{options}")

    def write(self, name: str, content: bytes) -> None:
        """Write a file, over one that is there.

        Raises:
            StorageError: it cannot be written.
        """
        if not self.is_remote:
            try:
                write_bytes(Path(self.place, name), content)
            except ConfigError as error:
                raise StorageError(error.what, error.remedy) from None
            return
        filesystem, base = _open(self.place)
        try:
            with self._asked("written", name), filesystem.open_output_stream(f"{base}/{name}") as file:
                file.write(content)
        except FileNotFoundError as error:
            raise self._refusal("written", name, error) from None

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none.
            StorageError: it cannot be read.
        """
        filesystem, base = _open(self.place)
        with self._asked("read", name), filesystem.open_input_stream(f"{base}/{name}") as file:
            return bytes(file.read())

    def names(self, folder: str = "") -> list[str]:
        """The files in a folder and below, by their names from here; none if there is no such folder.

        Raises:
            StorageError: they cannot be listed.
        """
        filesystem, base = _open(self.place)
        with self._asked("listed", folder):
            selector = fs.FileSelector(f"{base}/{folder}".rstrip("/"), recursive=True, allow_not_found=True)
            found = filesystem.get_file_info(selector)
        files = [Path(info.path).relative_to(base) for info in found if info.is_file]
        return sorted(str(path) for path in files if not path.name.startswith("."))  # those are being written

    def remove(self, name: str) -> None:
        """Remove a file, if it is there.

        Raises:
            StorageError: it cannot be removed.
        """
        self._drop(fs.FileSystem.delete_file, name)

    def clear(self, folder: str) -> None:
        """Remove a folder with all that is in it, if it is there.

        Raises:
            StorageError: it cannot be removed.
        """
        try:
            self._drop(fs.FileSystem.delete_dir, folder)
        except StorageError:
            if self.names(folder):  # to Google's client, a folder that is not there is an error like any other
                raise

    def _drop(self, delete: Callable[[fs.FileSystem, str], None], name: str) -> None:
        filesystem, base = _open(self.place)
        with suppress(FileNotFoundError), self._asked("removed", name):
            delete(filesystem, f"{base}/{name}")

    def mark(self) -> str:
        """Leave a mark that others can look for, instead of one that is there; returns it.

        Raises:
            StorageError: it cannot be written.
        """
        made = secrets.token_hex(8)
        self.write(_MARK, made.encode())
        return made

    def marked(self) -> str:
        """The mark that is there; empty without one.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            return self.read(_MARK).decode(errors="replace")
        except FileNotFoundError:
            return ""

    @contextmanager
    def _asked(self, done: str, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:  # Arrow says of a name that it does not take that its value is wrong
            raise self._refusal(done, name, error) from None

    def _refusal(self, done: str, name: str, error: Exception) -> StorageError:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
        return StorageError(
            f"{self.shown}/{name} cannot be {done} ({reason})", "Check that the storage is up and lets this machine in"
        )


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


class Watch:
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

    def failed(self, reason: str) -> None:
        """Take note that it did not do what it was asked."""
        self._reason = reason
        if self._failed_at is None:
            self._failed_at = self._tried_at = self._clock()
            self._say(f"{reason} No trial is started until it does.")

    @property
    def is_failing(self) -> bool:
        """Whether it has failed, and not answered since."""
        return self._failed_at is not None

    def answers(self) -> bool:
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

    def patiently(
        self,
        act: Callable[[], Found],
        is_over: Callable[[], bool] = lambda: False,
        wait: Callable[[float], None] = time.sleep,
    ) -> Found:
        """Do what takes the storage, again and again until it answers; returns what that gives.

        Raises:
            StorageError: it has not answered for too long.
            KeyboardInterrupt: `is_over` said that nobody waits any more.
        """
        while True:
            try:
                return act()
            except StorageError as error:
                self.failed(str(error))
            while not self.answers():
                if is_over():
                    raise KeyboardInterrupt
                wait(RETRY_SECONDS / 5)


def check_place(place: str) -> str:
    """A storage as a campaign file names it, made absolute.

    Raises:
        ConfigError: it is of a kind that is not known, or holds a secret.
    """
    if "://" not in place:
        return str(Path(place).expanduser().absolute())
    parts = urlsplit(place)
    if parts.scheme not in _OPTIONS:
        raise ConfigError(f"storage {parts.scheme}:// is not known", "Name a folder, s3://BUCKET/… or gs://BUCKET/…")
    if "@" in place:
        raise ConfigError(
            "storage names credentials, which would be written into every file of the campaign",
            "Give them to the machines instead: an instance profile, or the environment",
        )
    folders = parts.path.rstrip("/").split("/")[1:]
    if not all(_PART.fullmatch(part) for part in (parts.netloc, *folders)) or parts.fragment:
        raise ConfigError(
            "storage names no bucket and folder that every store takes",
            "Write it as s3://BUCKET/FOLDER, of letters, digits, and . _ - = inside",
        )
    options, known = dict(parse_qsl(parts.query, keep_blank_values=True)), _OPTIONS[parts.scheme]
    if not set(options) <= set(known):  # what else stands there may be a secret
        raise ConfigError("storage has an unknown option", f"There are: {', '.join(known)}")
    if options.get("scheme", "https") not in ("http", "https"):
        raise ConfigError(f"storage cannot be reached by {options['scheme']}", "Write scheme=https or scheme=http")
    return place.rstrip("/")


@cache
def _open(place: str) -> tuple[fs.FileSystem, str]:
    """Connect, once a process; a server that is down is noticed within seconds, not minutes."""
    if "://" not in place:
        return fs.LocalFileSystem(), place
    parts = urlsplit(place)
    options = dict(parse_qsl(parts.query))
    base = f"{parts.netloc}{parts.path}".rstrip("/")
    if parts.scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=_REQUEST_SECONDS), **options), base
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=3)
    return fs.S3FileSystem(
        connect_timeout=_CONNECT_SECONDS, request_timeout=_REQUEST_SECONDS, retry_strategy=retries, **options
    ), base
