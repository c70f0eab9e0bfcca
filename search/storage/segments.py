"""Copies a growing file to a storage without sending again what is there: object stores cannot append to a file.

The copy is a base, which holds the file as it was once, and segments, which hold what was appended since.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from search.storage.filesystem import Storage

MAX_SEGMENTS = 500
"""With more segments than this the copy is written anew as one base: a restore reads them one by one."""
_TAIL_BYTES = 4096


class SegmentedCopy:
    """The copy of one file in a storage."""

    def __init__(self, storage: Storage, name: str) -> None:
        """Prepare to copy; the first `update` writes a base.

        Args:
            storage: the storage.
            name: the path of the base in the storage; the paths of the segments begin with it.
        """
        self._storage = storage
        self._name = name
        self._base_id: str | None = None
        self._base_size = self._copied_size = 0
        self._tail = b""  # the last bytes that were copied
        self._segments = 0

    def update(self, path: Path) -> None:
        """Send what was appended to the file since the last call.

        The base is written anew when the segments hold more than it does, so that each byte is sent about twice, and
        when the file does not begin with what was copied, as after a failed write that was taken back.

        Args:
            path: the file.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: the storage is not available; the next call sends what is still missing.
        """
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(self._copied_size - len(self._tail))
            is_continued = size >= self._copied_size and file.read(len(self._tail)) == self._tail
            fits = size - self._base_size <= self._base_size and self._segments < MAX_SEGMENTS
            if self._base_id is None or not is_continued or not fits:
                file.seek(0)
                self._write_base(file.read(size))
            elif size > self._copied_size:
                self._write_segment(self._base_id, file.read(size - self._copied_size))

    def _write_segment(self, base_id: str, content: bytes) -> None:
        self._storage.write(_segment_name(self._name, base_id, self._copied_size), content)
        self._segments += 1
        self._copied_size += len(content)
        self._tail = (self._tail + content)[-_TAIL_BYTES:]

    def _write_base(self, content: bytes) -> None:
        self._storage.write(self._name, content)
        self._base_id, self._base_size, self._segments = _base_id(content), len(content), 0
        self._copied_size, self._tail = len(content), content[-_TAIL_BYTES:]
        for name, _ in _list_segments(self._storage, self._name):  # all of them belong to earlier bases
            self._storage.remove(name)


def read_segmented(storage: Storage, name: str) -> bytes:
    """Read the copy of a file, up to the first gap.

    Args:
        storage: the storage.
        name: the path of the base in the storage.

    Raises:
        FileNotFoundError: there is no such copy.
        StorageError: the storage is not available.
    """
    content = storage.read(name)
    base_id, end = _base_id(content), len(content)
    segments = []
    for segment, offset in _list_segments(storage, name):
        if segment == _segment_name(name, base_id, offset) and offset == end:
            segments.append(storage.read(segment))
            end += len(segments[-1])
    return b"".join([content, *segments])


def _base_id(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _segment_name(name: str, base_id: str, offset: int) -> str:
    """Return the name of a segment; that of its base is part of it, so that it is never joined to another."""
    return f"{name}.{base_id}.{offset:015d}"


def _list_segments(storage: Storage, name: str) -> list[tuple[str, int]]:
    """Return name and offset of each segment of a copy, of all its bases, sorted by offset."""
    pattern = re.compile(rf"{re.escape(name)}\.[0-9a-f]{{16}}\.(\d{{15}})")
    folder = name.rpartition("/")[0]
    matches = [pattern.fullmatch(path) for path in storage.list_files(folder)]
    return sorted(((match[0], int(match[1])) for match in matches if match), key=lambda segment: segment[1])
