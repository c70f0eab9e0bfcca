"""Reads and writes the files of a campaign's trainings: in a local or shared folder, on `s3://` or on `gs://`.

Every file exists whole or not at all: object stores publish a file when it is closed, folders when it is renamed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pyarrow import fs

from core.errors import ConfigError, one_line
from core.files import write_bytes

_CONNECT_SECONDS, _REQUEST_SECONDS = 5.0, 30.0
_OWNER_FILE = ".mark"


class StorageError(ConfigError):
    """The storage cannot be read or written at the moment."""


@dataclass(frozen=True)
class Storage:
    """A folder of files on a disk or in an object store. It holds no connection, so other processes can be sent it.

    Attributes:
        location: absolute path of the folder, or its URI with options.
    """

    location: str

    @property
    def is_remote(self) -> bool:
        """Return whether the files are in an object store."""
        return "://" in self.location

    @property
    def display_name(self) -> str:
        """Return the location as messages show it, without options."""
        return self.location.partition("?")[0] if self.is_remote else self.location

    def subfolder(self, name: str) -> Storage:
        """Return the storage of a folder inside this one."""
        if not self.is_remote:
            return Storage(f"{self.location}/{name}")
        address, question_mark, options = self.location.partition("?")
        return Storage(f"{address.rstrip('/')}/{name}{question_mark}{options}")

    def write(self, name: str, content: bytes) -> None:
        """Write a file, replacing one of the same name.

        Args:
            name: the file's path inside this storage.
            content: content of the file; a reader sees all of it or the earlier file.

        Raises:
            StorageError: the file cannot be written.
        """
        if not self.is_remote:
            try:
                write_bytes(Path(self.location, name), content)
            except ConfigError as error:
                raise StorageError(error.what, error.remedy) from None
            return
        filesystem, base = open_file_system(self.location)
        try:
            with self._storage_errors("written", name), filesystem.open_output_stream(f"{base}/{name}") as file:
                file.write(content)
        except FileNotFoundError as error:
            raise self._error("written", name, error) from None

    def read(self, name: str) -> bytes:
        """Return the content of a file.

        Args:
            name: the file's path inside this storage.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: the file cannot be read.
        """
        filesystem, base = open_file_system(self.location)
        with self._storage_errors("read", name), filesystem.open_input_stream(f"{base}/{name}") as file:
            return bytes(file.read())

    def list_files(self, folder: str = "") -> list[str]:
        """List the files in a folder and below it.

        Args:
            folder: path of the folder inside this storage; by default all of it.

        Returns:
            The files' paths inside this storage, sorted; none if there is no such folder.

        Raises:
            StorageError: the files cannot be listed.
        """
        filesystem, base = open_file_system(self.location)
        with self._storage_errors("listed", folder):
            selector = fs.FileSelector(f"{base}/{folder}".rstrip("/"), recursive=True, allow_not_found=True)
            entries = filesystem.get_file_info(selector)
        files = [Path(entry.path).relative_to(base) for entry in entries if entry.is_file]
        # A name that begins with a dot is that of a file which is still being written.
        return sorted(str(path) for path in files if not path.name.startswith("."))

    def remove(self, name: str) -> None:
        """Remove a file; do nothing if there is none.

        Raises:
            StorageError: the file cannot be removed.
        """
        self._delete(fs.FileSystem.delete_file, name)

    def remove_folder(self, folder: str) -> None:
        """Remove a folder and everything in it; do nothing if there is none.

        Raises:
            StorageError: the folder cannot be removed.
        """
        try:
            self._delete(fs.FileSystem.delete_dir, folder)
        except StorageError:
            if self.list_files(folder):  # Google's client reports a missing folder like any other error
                raise

    def _delete(self, delete: Callable[[fs.FileSystem, str], None], name: str) -> None:
        filesystem, base = open_file_system(self.location)
        with suppress(FileNotFoundError), self._storage_errors("removed", name):
            delete(filesystem, f"{base}/{name}")

    def claim(self) -> str:
        """Make this process the owner: write a new owner token in place of an earlier owner's.

        Returns:
            The token, which `owner` reads as long as nobody else claims the storage.

        Raises:
            StorageError: the token cannot be written.
        """
        owner_token = secrets.token_hex(8)
        self.write(_OWNER_FILE, owner_token.encode())
        return owner_token

    def owner(self) -> str:
        """Return the owner token that was written last; empty where nobody has claimed the storage.

        Raises:
            StorageError: the token cannot be read.
        """
        try:
            return self.read(_OWNER_FILE).decode(errors="replace")
        except FileNotFoundError:
            return ""

    @contextmanager
    def _storage_errors(self, done: str, name: str) -> Iterator[None]:
        """Raise what goes wrong in the block as a `StorageError`, except that a file is missing.

        Args:
            done: the operation as a participle, for the message.
            name: the file or folder that it is done to.
        """
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:  # Arrow raises ValueError for a name that the store does not accept
            raise self._error(done, name, error) from None

    def _error(self, done: str, name: str, error: Exception) -> StorageError:
        reason = one_line(getattr(error, "strerror", None) or error)[:200]
        return StorageError(
            f"{self.display_name}/{name} cannot be {done} ({reason})",
            "Check that the storage is up and gives this machine access",
        )


@cache
def open_file_system(location: str) -> tuple[fs.FileSystem, str]:
    """Connect to a storage, once in each process; a server that is down is noticed within seconds, not minutes.

    Returns:
        Arrow's file system, and the path of the storage in it.
    """
    if "://" not in location:
        return fs.LocalFileSystem(), location
    parts = urlsplit(location)
    options = dict(parse_qsl(parts.query))
    base = f"{parts.netloc}{parts.path}".rstrip("/")
    if parts.scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=_REQUEST_SECONDS), **options), base
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=3)
    return fs.S3FileSystem(
        connect_timeout=_CONNECT_SECONDS, request_timeout=_REQUEST_SECONDS, retry_strategy=retries, **options
    ), base
