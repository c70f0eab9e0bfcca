"""Collects the files that are sent along with a launched campaign: its own file and the presets that it names.

No other file of this machine is ever sent.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from core import presets
from core.errors import ConfigError
from core.files import write_text
from core.presets import USER_FOLDER
from search.config import CampaignConfig
from search.remote.jobs import CAMPAIGN_FILE

PRESETS_FOLDER = "presets"
"""Folder of the sent preset files, each at the path that it has below the working folder."""


def collect_files(folder: Path, campaign_file: Path, config: CampaignConfig) -> int:
    """Copy the files that a campaign needs into a folder.

    Args:
        folder: an empty folder, which is sent to the cluster.
        campaign_file: the campaign's YAML file.
        config: the settings in that file.

    Returns:
        The number of presets among the files.

    Raises:
        ConfigError: a preset cannot be used, or is not below the working folder, so that the head would look for it
            in another place.
    """
    shutil.copyfile(campaign_file, folder / CAMPAIGN_FILE)
    names = {config.base, config.incumbent, *config.ask} - set(presets.shipped_preset_names())
    for name in sorted(names):
        presets.load_preset(name)
        path = Path(name) if name.endswith(".yaml") else USER_FOLDER / f"{name}.yaml"
        if path.is_absolute() or ".." in path.parts:
            raise ConfigError(
                f"Preset {name} cannot be sent to the cluster: it is not below the working folder",
                f"Copy it to {USER_FOLDER}/ and name it without its path",
            )
        target = folder / PRESETS_FOLDER / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return len(names)


def install_presets(folder: Path, home: Path) -> None:
    """Copy sent presets to where the campaign looks for them.

    Args:
        folder: the folder that was sent.
        home: the folder in which campaigns run.

    Raises:
        ConfigError: a different preset is there, or the file cannot be written.
    """
    for path in sorted((folder / PRESETS_FOLDER).rglob("*.yaml")):
        relative = path.relative_to(folder / PRESETS_FOLDER)
        target, text = home / relative, path.read_text(encoding="utf-8")
        if target.exists() and target.read_text(encoding="utf-8", errors="replace") != text:
            raise ConfigError(f"{relative} on the head is a different preset of the same name", "Rename yours")
        write_text(target, text)
