"""Prepared datasets, kept by the fingerprint of what they were made from.

The key covers the files' bytes, the settings, and this package's own source, so nothing stale is
ever served; a damaged or missing entry is simply made again. Arrays are stored without pickling.
The folder is `$PRESET_SEARCH_CACHE`, by default `preset-search` in the user's cache folder; an
empty value switches caching off.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import core
from core.errors import PresetSearchError
from core.files import source_digest, writing

KEPT = 8
"""Entries kept; the least recently used go first."""
_META = "meta_json"


def folder() -> Path | None:
    """Where entries lie; None if caching is switched off."""
    named = os.environ.get("PRESET_SEARCH_CACHE")
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "preset-search"


def cache_key(settings: str, paths: Sequence[Path]) -> str | None:
    """The key of a dataset made from these files; None if there is none or one cannot be read."""
    if not paths or folder() is None:
        return None
    digest = hashlib.blake2b(digest_size=20)
    libraries = " ".join(version(name) for name in ("numpy", "pandas", "scipy", "TA-Lib"))
    digest.update(f"{_source_digest()} {libraries} {settings}".encode())
    try:
        for path in paths:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
    except OSError:
        return None
    return digest.hexdigest()


@functools.cache
def _source_digest() -> str:
    return source_digest(Path(core.__file__).parent)


def read_cached(entry: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Arrays and plain values of an entry; None if it is not there or damaged."""
    place = folder()
    if place is None:
        return None
    path = place / f"{entry}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        rest: dict[str, Any] = json.loads(str(arrays.pop(_META)))
        os.utime(path)
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile):
        return None
    return arrays, rest


def write_cached(entry: str, arrays: dict[str, np.ndarray], rest: dict[str, Any]) -> None:
    """Keep an entry, and drop the oldest beyond `KEPT`. A folder that cannot be written is no error here."""
    place = folder()
    if place is None:
        return
    with suppress(OSError, PresetSearchError):
        with writing(place / f"{entry}.npz") as temporary:
            np.savez(temporary, **arrays, **{_META: np.array(json.dumps(rest))})  # type: ignore[arg-type]
        entries = sorted(place.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in entries[KEPT:]:
            path.unlink()
