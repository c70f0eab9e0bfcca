"""The manifest of a campaign's folder: the SHA-256 of each file that its preset may be made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from core.errors import ConfigError
from core.files import write_json
from search.results.folder import (
    CONFIG_FILE,
    CONFIRMATION_FILE,
    CURVES_FILE,
    INCUMBENT_FILE,
    JOURNAL_FILE,
    MANIFEST_FILE,
    PREDICTIONS_FILE,
    RETURNS_FILE,
    SUMMARY_FILE,
    TRIALS_FILE,
    VERDICT_FILE,
)

SEARCH_FILES = (
    CONFIG_FILE,
    JOURNAL_FILE,
    TRIALS_FILE,
    CURVES_FILE,
    INCUMBENT_FILE,
    SUMMARY_FILE,
)
"""What the search leaves and confirmation does not touch."""
LISTED = (*SEARCH_FILES, PREDICTIONS_FILE, RETURNS_FILE, CONFIRMATION_FILE, VERDICT_FILE)
"""All that a manifest may list."""
_REMEDY = "Bring the campaign's folder back as it was, from a copy"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path) -> Path:
    """List what a campaign's folder holds; returns the manifest's path."""
    path = folder / MANIFEST_FILE
    write_json(path, {"sha256": {name: _digest(folder / name) for name in LISTED if (folder / name).is_file()}})
    return path


def _read(folder: Path) -> dict[str, str]:
    path = folder / MANIFEST_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["sha256"])
    except FileNotFoundError:
        if (folder / VERDICT_FILE).is_file():
            raise ConfigError(f"{folder} has a verdict but no manifest", f"Bring {path} back from a copy") from None
        raise ConfigError(f"{folder} has no manifest: the campaign was not concluded", "Resume it") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read ({error!r})", _REMEDY) from None


def manifest_lists(folder: Path, name: str) -> bool:
    """Whether a campaign's manifest, if there is one, lists a file.

    Raises:
        ConfigError: it cannot be read.
    """
    return (folder / MANIFEST_FILE).is_file() and name in _read(folder)


def check_manifest(folder: Path, names: Sequence[str] = LISTED) -> None:
    """Make sure that a campaign's files are what they were when it was concluded.

    Args:
        folder: the campaign's.
        names: which files.

    Raises:
        ConfigError: a file is missing, was changed or added, or the manifest cannot be read.
    """
    listed = _read(folder)
    for name in names:
        there = (folder / name).is_file()
        if there != (name in listed):
            raise ConfigError(f"{folder / name} {'is not in the manifest' if there else 'is missing'}", _REMEDY)
        if there and _digest(folder / name) != listed[name]:
            raise ConfigError(f"{folder / name} is not what it was when the campaign was concluded", _REMEDY)
