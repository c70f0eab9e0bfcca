"""Compares or writes again the preset files of campaigns, from their recorded results alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from core import config, console
from core.errors import ConfigError
from core.files import write_bytes, write_text
from core.presets import NewerSchemaError, Preset, is_of_same_campaign, load_preset, preset_yaml, shipped_preset_names
from search.results.export import make_preset
from search.results.folder import CONFIG_FILE, MANIFEST_FILE, VERDICT_FILE


def regenerate_campaign(campaign: Path, known: Sequence[Path], folders: Sequence[Path], check: bool) -> dict[str, str]:
    """Compare or write a campaign's preset files; what is wrong with each, if anything is."""
    made = make_preset(campaign, default_name(campaign.name))
    own = [path for path in known if path.parent == folders[0] or is_of_same_campaign(path, made)]
    if check and not own:
        return {campaign.name: f"no preset file in {' or '.join(str(folder) for folder in folders)}"}
    return {
        str(path): _compare_or_write(path, make_preset(campaign, path.stem), check)
        for path in own or [folders[0] / f"{made.name}.yaml"]
    }


def concluded_campaigns(root: Path) -> tuple[list[str], dict[str, str]]:
    """The folders of campaigns that were concluded, and why the others are passed over."""
    found, passed = [], {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if not (folder / CONFIG_FILE).is_file() or not config.is_name(folder.name):
            passed[folder.name] = "it is no campaign"
        elif not any((folder / name).is_file() for name in (MANIFEST_FILE, VERDICT_FILE)):
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


def default_name(campaign: str) -> str:
    """The name of the preset of a campaign, if nobody says another."""
    name = campaign.replace("-", "_")
    return f"my_{name}"[:64] if name in shipped_preset_names() else name


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
