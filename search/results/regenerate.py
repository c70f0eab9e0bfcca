"""Compares or writes again the preset files of campaigns, from their recorded results alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from core import console
from core.config import check_name, is_name
from core.errors import ConfigError
from core.files import write_bytes, write_text
from core.presets import NewerSchemaError, Preset, is_of_same_campaign, load_preset, preset_yaml
from search.results.export import make_preset
from search.results.folder import CampaignFolder


def regenerate_campaign(
    campaign: CampaignFolder, known: Sequence[Path], folders: Sequence[Path], check: bool
) -> dict[str, str]:
    """Compare or write the preset files of a campaign.

    Args:
        campaign: the folder of a concluded campaign.
        known: preset files that name a campaign of this name.
        folders: folders of preset files; new ones are written into the first.
        check: whether to compare only, and to write nothing.

    Returns:
        what is wrong with each file, by its path; an empty text where nothing is.

    Raises:
        ConfigError: the campaign gives no preset.
    """
    preset = make_preset(campaign, campaign.default_preset_name)
    own = [path for path in known if path.parent == folders[0] or is_of_same_campaign(path, preset)]
    if check and not own:
        return {campaign.name: f"no preset file in {' or '.join(str(folder) for folder in folders)}"}
    paths = own or [folders[0] / f"{preset.name}.yaml"]
    renamed = {path: preset.model_copy(update={"name": check_name(path.stem)}) for path in paths}
    return {str(path): _compare_or_write(path, renamed[path], check) for path in paths}


def concluded_campaigns(root: Path) -> tuple[list[str], dict[str, str]]:
    """The folders of campaigns that were concluded, and why the others are passed over."""
    found, passed = [], {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if not CampaignFolder(folder).is_campaign or not is_name(folder.name):
            passed[folder.name] = "it is no campaign"
        elif not CampaignFolder(folder).is_concluded and not CampaignFolder(folder).verdict.is_file():
            passed[folder.name] = "it has no manifest: the campaign was not concluded"
        else:
            found.append(folder.name)
    return found, passed


def _compare_or_write(path: Path, made: Preset, check: bool) -> str:
    """Compare a file, or write it; what is wrong with it, if anything is."""
    text = preset_yaml(made)
    if path.is_file() and path.read_bytes() == text.encode():
        console.out.print(console.plain(f"{path}: unchanged"))
        return ""
    refused, damage = _existing_file(path, made)
    if check or refused:
        return damage or refused or "differs"
    if damage:
        kept = path.with_name(f"{path.name}.bak")
        write_bytes(kept, path.read_bytes())
        console.out.print(console.plain(f"{path}: damaged; kept as {kept.name}"))
    write_text(path, text)
    console.out.print(console.plain(f"{path}: written"))
    return ""


def _existing_file(path: Path, made: Preset) -> tuple[str, str]:
    """Why a file is not to be replaced by this preset, and what is damaged in it; empty where nothing is."""
    if not path.exists():
        return "", ""
    damage = ""
    try:
        load_preset(str(path))
        replaceable = is_of_same_campaign(path, made)
    except NewerSchemaError as error:
        return str(error), ""
    except ConfigError as error:
        damage = str(error)
        replaceable = made.provenance is not None and _recorded_campaign(path) == made.provenance.campaign
    return (
        "" if replaceable else "holds another preset; choose another name with export --as, or remove that file",
        damage,
    )


def _recorded_campaign(path: Path) -> str:
    """The campaign that a file tells of that cannot be loaded; empty if it tells of none."""
    try:
        found = re.search(r"^  campaign: '?([\w-]+)'?$", path.read_text(encoding="utf-8", errors="replace"), re.M)
    except OSError:
        return ""
    return found[1] if found else ""


def presets_by_campaign(folders: Sequence[Path]) -> tuple[dict[str, list[Path]], dict[str, str]]:
    """The preset files of each campaign, and what is wrong with those that cannot be read."""
    found: dict[str, list[Path]] = {}
    wrong = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.yaml")):
        try:
            loaded = load_preset(str(path))
        except ConfigError as error:
            wrong[str(path)] = str(error)
            if campaign := _recorded_campaign(path):
                found.setdefault(campaign, []).append(path)
            continue
        if loaded.provenance is not None:
            found.setdefault(loaded.provenance.campaign, []).append(path)
    return found, wrong
