"""A cache on disk of prepared datasets, and of the simple models that are fitted to them.

The key of an entry covers all that it is made of (the bytes of the files or the rows, the settings) and the source of
this package, so that nothing stale is ever served; a damaged or missing entry is simply made again. Arrays are stored
without pickling. The folder is `$PRESET_SEARCH_CACHE`, by default `preset-search` in the user's cache folder; an empty
value switches caching off.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import core
from core.errors import PresetSearchError
from core.files import source_digest, writing

MAX_ENTRIES = 8
"""Number of datasets to keep; the least recently used are deleted first."""
MAX_FITS = 64
"""Number of fitted models to keep, each of about a megabyte."""
_FITS_FOLDER = "fits"
_META = "meta_json"
"""Array of an entry that holds the plain values as JSON text."""


def cache_folder() -> Path | None:
    """Return the folder of the entries; None if caching is switched off."""
    setting = os.environ.get("PRESET_SEARCH_CACHE")
    if setting is not None:
        return Path(setting) if setting else None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "preset-search"


def cache_key(settings: str, paths: Sequence[Path]) -> str | None:
    """Compute the key of the dataset that is made from files with these settings.

    Args:
        settings: settings of the data as JSON text.
        paths: files that the data are read from.

    Returns:
        The key; None if there are no files, one cannot be read, or caching is switched off.
    """
    if not paths or cache_folder() is None:
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


def fit_key(name: str, arrays: Sequence[np.ndarray], settings: str) -> str:
    """Compute the key of a model that is fitted to arrays.

    Args:
        name: name of the model.
        arrays: all arrays that it is fitted to.
        settings: what else the fit depends on, as text.
    """
    digest = hashlib.blake2b(digest_size=20)
    libraries = " ".join(version(name) for name in ("numpy", "scipy", "scikit-learn"))
    digest.update(f"{_source_digest()} {libraries} {name} {settings}".encode())
    for values in arrays:
        digest.update(f"{values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return f"{_FITS_FOLDER}/{digest.hexdigest()}"


@functools.cache
def _source_digest() -> str:
    return source_digest(Path(core.__file__).parent)


def read_cached(key: str) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Read the arrays and the plain values of an entry; None if the entry is missing or damaged."""
    folder = cache_folder()
    if folder is None:
        return None
    path = folder / f"{key}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        values: dict[str, Any] = json.loads(str(arrays.pop(_META)))
        os.utime(path)
    except Exception:  # what a damaged archive raises is not documented: anything from BadZipFile to RuntimeError
        return None
    return arrays, values


def write_cached(key: str, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
    """Write an entry, and delete the oldest of its kind beyond their number; an unwritable folder is not an error.

    Args:
        key: key of the entry, as `cache_key` or `fit_key` returns it.
        arrays: arrays of the entry.
        values: its other values, which JSON can hold.
    """
    folder = cache_folder()
    if folder is None:
        return
    with suppress(OSError, PresetSearchError):
        path = folder / f"{key}.npz"
        with writing(path) as temporary:
            np.savez(temporary, **arrays, **{_META: np.array(json.dumps(values))})  # type: ignore[arg-type]
        entries = sorted(path.parent.glob("*.npz"), key=lambda entry: entry.stat().st_mtime, reverse=True)
        for oldest in entries[MAX_FITS if path.parent.name == _FITS_FOLDER else MAX_ENTRIES :]:
            oldest.unlink()
