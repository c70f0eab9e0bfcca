"""The manifest of a campaign: the SHA-256 of each file that its preset is made from, which shows any later change."""

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
    SUPERSEDED_VERDICT_FILE,
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
"""Files that the search writes and a confirmation does not change."""
LISTED = (*SEARCH_FILES, PREDICTIONS_FILE, RETURNS_FILE, CONFIRMATION_FILE, VERDICT_FILE, SUPERSEDED_VERDICT_FILE)
"""All files that a manifest can list."""
_REMEDY = "Restore the campaign's folder from a backup"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: CampaignFolder) -> None:
    """Write the manifest of a campaign, with the files of `LISTED` that its folder holds.

    Args:
        folder: the folder of the campaign.

    Raises:
        ConfigError: the folder cannot be written.
    """
    paths = {name: folder.path / name for name in LISTED}
    write_json(folder.manifest, {"sha256": {name: _digest(path) for name, path in paths.items() if path.is_file()}})


def _read(folder: CampaignFolder) -> dict[str, str]:
    if not folder.is_concluded:
        if folder.verdict.is_file():
            raise ConfigError(
                f"{folder.path} has a verdict but no manifest", f"Restore {folder.manifest} from a backup"
            )
        raise ConfigError(f"{folder.path} has no manifest: the campaign was not concluded", "Resume the campaign")
    with reading(folder.manifest, _REMEDY):
        return dict(json.loads(folder.manifest.read_text(encoding="utf-8"))["sha256"])


def manifest_lists(folder: CampaignFolder, name: str) -> bool:
    """Return whether a campaign has a manifest that lists a file.

    Args:
        folder: the folder of the campaign.
        name: name of the file in that folder.

    Raises:
        ConfigError: the manifest cannot be read.
    """
    return folder.is_concluded and name in _read(folder)


def check_manifest(folder: CampaignFolder, names: Sequence[str] = LISTED) -> None:
    """Check that the files of a campaign are unchanged since it was concluded.

    Args:
        folder: the folder of the campaign.
        names: names of the files to check, in that folder.

    Raises:
        ConfigError: a file is missing, was changed or was added; or the manifest is missing or damaged.
    """
    listed = _read(folder)
    for name in names:
        path = folder.path / name
        if path.is_file() != (name in listed):
            raise ConfigError(f"{path} {'is not in the manifest' if path.is_file() else 'is missing'}", _REMEDY)
        if path.is_file() and _digest(path) != listed[name]:
            raise ConfigError(f"{path} was changed after the campaign was concluded", _REMEDY)
