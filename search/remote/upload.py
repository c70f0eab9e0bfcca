"""What travels with a launched campaign: its file, and the preset files that it names; never anything else."""

from __future__ import annotations

import shutil
from pathlib import Path

from core import presets
from core.errors import ConfigError
from core.files import write_text
from core.presets import USER_FOLDER
from search.config import CampaignConfig
from search.remote.jobs import CAMPAIGN_FILE

PRESETS = "named"
"""Folder of the preset files in the parcel, each at the path that it has below the working folder."""


def collect_files(folder: Path, campaign_file: Path, config: CampaignConfig) -> int:
    """Put the files of a campaign into a folder; returns how many presets there are.

    Args:
        folder: empty.
        campaign_file: the campaign's YAML.
        config: what it says.

    Raises:
        ConfigError: a preset cannot be used, or lies where no other machine has the same path.
    """
    shutil.copyfile(campaign_file, folder / CAMPAIGN_FILE)
    named = {config.base, config.incumbent, *config.ask} - set(presets.shipped_preset_names())
    for name in sorted(named):
        presets.load_preset(name)
        path = Path(name) if name.endswith(".yaml") else USER_FOLDER / f"{name}.yaml"
        if path.is_absolute() or ".." in path.parts:
            raise ConfigError(
                f"Preset {name} cannot travel: it does not lie below this folder",
                f"Copy it to {USER_FOLDER}/ and name it without its path",
            )
        target = folder / PRESETS / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return len(named)


def install_presets(folder: Path, home: Path) -> None:
    """Put the presets of a parcel where the campaign looks for them.

    Args:
        folder: the parcel's.
        home: where campaigns run.

    Raises:
        ConfigError: another preset is there, or it cannot be written.
    """
    for path in sorted((folder / PRESETS).rglob("*.yaml")):
        relative = path.relative_to(folder / PRESETS)
        target, text = home / relative, path.read_text(encoding="utf-8")
        if target.exists() and target.read_text(encoding="utf-8", errors="replace") != text:
            raise ConfigError(
                f"{relative} is another preset on the head than here",
                "Give yours another name",
            )
        write_text(target, text)
