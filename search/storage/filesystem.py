"""Where the files of a campaign's trainings lie: a folder of this machine or a shared one, or `s3://` or `gs://`.

Every file is there whole or not at all: object stores publish one when it is closed, folders when it is renamed.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pyarrow import fs

from core.errors import ConfigError
from core.files import write_bytes

_OPTIONS = {"s3": ("region", "scheme", "endpoint_override"), "gs": ("scheme", "endpoint_override")}
"""What may be said behind the question owner_token."""
_CONNECT_SECONDS, _REQUEST_SECONDS = 5.0, 30.0
_PART = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*")
_MARK = ".owner_token"


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

    def claim(self) -> str:
        """Leave a owner_token that others can look for, instead of one that is there; returns it.

        Raises:
            StorageError: it cannot be written.
        """
        made = secrets.token_hex(8)
        self.write(_MARK, made.encode())
        return made

    def owner(self) -> str:
        """The owner_token that is there; empty without one.

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
