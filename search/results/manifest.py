"""The manifest of a campaign's folder: the SHA-256 of each file that its preset may be made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from core.errors import ConfigError
from core.files import reading, write_json
from search.results.folder import (
    CONFIG_FILE,
    CONFIRMATION_FILE,
    CURVES_FILE,
    INCUMBENT_FILE,
    JOURNAL_FILE,
    PREDICTIONS_FILE,
    RETURNS_FILE,
    SUMMARY_FILE,
    TRIALS_FILE,
    VERDICT_FILE,
    CampaignFolder,
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
_REMEDY = "Restore the campaign's folder from a backup"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: CampaignFolder) -> None:
    """Write the manifest of the files that the campaign's folder holds."""
    paths = {name: folder.path / name for name in LISTED}
    write_json(folder.manifest, {"sha256": {name: _digest(path) for name, path in paths.items() if path.is_file()}})


def _read(folder: CampaignFolder) -> dict[str, str]:
    if not folder.is_concluded:
        if folder.verdict.is_file():
            raise ConfigError(
                f"{folder.path} has a verdict but no manifest", f"Restore {folder.manifest} from a backup"
            )
        raise ConfigError(f"{folder.path} has no manifest: the campaign was not concluded", "Resume it")
    with reading(folder.manifest, _REMEDY):
        return dict(json.loads(folder.manifest.read_text(encoding="utf-8"))["sha256"])


def manifest_lists(folder: CampaignFolder, name: str) -> bool:
    """Return whether a campaign has a manifest that lists a file.

    Raises:
        ConfigError: the manifest cannot be read.
    """
    return folder.is_concluded and name in _read(folder)


def check_manifest(folder: CampaignFolder, names: Sequence[str] = LISTED) -> None:
    """Check that a campaign's files are what they were when it was concluded.

    Args:
        folder: the campaign's folder.
        names: the files to check, by their names in the folder.

    Raises:
        ConfigError: a file is missing, was changed or added, or the manifest cannot be read.
    """
    listed = _read(folder)
    for name in names:
        path = folder.path / name
        if path.is_file() != (name in listed):
            raise ConfigError(f"{path} {'is not in the manifest' if path.is_file() else 'is missing'}", _REMEDY)
        if path.is_file() and _digest(path) != listed[name]:
            raise ConfigError(f"{path} is not what it was when the campaign was concluded", _REMEDY)
