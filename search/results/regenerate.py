"""Writes the preset files of campaigns again from their recorded results alone, or compares them with the results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core import console
from core.config import check_name, is_name
from core.errors import ConfigError
from core.files import write_bytes, write_text
from core.presets import NewerSchemaError, Preset, is_of_same_campaign, load_preset, preset_yaml
from search.results.export import NothingToExportError, make_preset
from search.results.folder import CampaignFolder


@dataclass
class Regeneration:
    """The outcome of writing or comparing preset files.

    Attributes:
        campaigns: names of the campaigns that give a preset, or should give one and are damaged.
        problems: what is wrong, by the path of a preset file or the name of a campaign.
        skipped: why a campaign gives no preset, by the name of its folder.
    """

    campaigns: list[str] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)


def regenerate_campaigns(root: Path, names: Sequence[str], folders: Sequence[Path], check: bool) -> Regeneration:
    """Write or compare the preset files of some campaigns.

    Args:
        root: folder of all campaigns.
        names: names of the campaigns.
        folders: folders of preset files; new files are written into the first.
        check: whether to compare the files and to write nothing.

    Raises:
        ConfigError: a campaign does not exist or gives no preset.
    """
    known, problems = _presets_by_campaign(folders)
    for name in names:
        problems |= _regenerate_campaign(CampaignFolder.find(root, name), known.get(name, []), folders, check)
    return Regeneration(list(names), _unsolved(problems))


def regenerate_all(root: Path, folders: Sequence[Path], check: bool) -> Regeneration:
    """Write or compare the preset files of all campaigns; one that cannot be exported does not keep the others back.

    A preset file in the first of the folders whose campaign is gone is a problem, too. The other folders may hold the
    presets of campaigns that were never here.

    Args:
        root: folder of all campaigns.
        folders: folders of preset files; new files are written into the first.
        check: whether to compare the files and to write nothing.
    """
    known, problems = _presets_by_campaign(folders)
    concluded, skipped = _concluded_campaigns(root)
    campaigns = []
    for name in concluded:
        try:
            problems |= _regenerate_campaign(CampaignFolder(root / name), known.get(name, []), folders, check)
            campaigns.append(name)
        except NothingToExportError as error:
            skipped[name] = str(error)
        except ConfigError as error:
            problems[name] = str(error)
            campaigns.append(name)
    # To write, it is enough that skipped campaigns are listed. To compare, their files must not pass for checked.
    accounted_for = set(campaigns) if check else {*campaigns, *skipped}
    for name in known.keys() - accounted_for:
        for path in known[name]:
            if path.parent == folders[0]:
                problems[str(path)] = f"there is no campaign {name} that was concluded"
    return Regeneration(campaigns, _unsolved(problems), skipped)


def _unsolved(problems: dict[str, str]) -> dict[str, str]:
    """Leave out the files that are as they should be now, some of which could not be read before."""
    return {place: problem for place, problem in problems.items() if problem}


def _presets_by_campaign(folders: Sequence[Path]) -> tuple[dict[str, list[Path]], dict[str, str]]:
    """Return the preset files of each campaign, by its name, and what is wrong with files that cannot be read."""
    by_campaign: dict[str, list[Path]] = {}
    problems = {}
    for path in sorted(path for folder in folders for path in folder.glob("*.yaml")):
        try:
            provenance = load_preset(str(path)).provenance
            campaign = provenance.campaign if provenance is not None else ""
        except ConfigError as error:
            problems[str(path)] = str(error)
            campaign = _named_campaign(path)
        if campaign:
            by_campaign.setdefault(campaign, []).append(path)
    return by_campaign, problems


def _concluded_campaigns(root: Path) -> tuple[list[str], dict[str, str]]:
    """Return the names of the concluded campaigns, and by name why other folders are skipped."""
    concluded, skipped = [], {}
    for path in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        folder = CampaignFolder(path)
        if not folder.is_campaign or not is_name(folder.name):
            skipped[folder.name] = "it is not a campaign"
        elif not folder.is_concluded and not folder.verdict.is_file():
            skipped[folder.name] = "it has no manifest: the campaign was not concluded"
        else:
            concluded.append(folder.name)
    return concluded, skipped


def _regenerate_campaign(
    campaign: CampaignFolder, known: Sequence[Path], folders: Sequence[Path], check: bool
) -> dict[str, str]:
    """Write or compare the preset files of one campaign.

    Args:
        campaign: the folder of a concluded campaign.
        known: preset files that name a campaign of this name.
        folders: folders of preset files; a new file is written into the first.
        check: whether to compare the files and to write nothing.

    Returns:
        what is wrong with each file, by its path, or by the campaign's name if there is no file; an empty text where
        nothing is wrong any more.

    Raises:
        ConfigError: the campaign gives no preset.
    """
    preset = make_preset(campaign, campaign.default_preset_name)
    paths = [path for path in known if path.parent == folders[0] or is_of_same_campaign(path, preset)]
    if check and not paths:
        return {campaign.name: f"no preset file in {' or '.join(str(folder) for folder in folders)}"}
    paths = paths or [folders[0] / f"{preset.name}.yaml"]
    renamed = {path: preset.model_copy(update={"name": check_name(path.stem)}) for path in paths}
    return {str(path): _compare_or_write(path, renamed[path], check) for path in paths}


def _compare_or_write(path: Path, preset: Preset, check: bool) -> str:
    """Compare a preset file with the preset that it should hold, or write it; return what is wrong, or an empty text.

    Args:
        path: path of the preset file.
        preset: the preset that it should hold.
        check: whether to compare the file and to write nothing.
    """
    text = preset_yaml(preset)
    if path.is_file() and path.read_bytes() == text.encode():
        console.out.print(console.plain(f"{path}: unchanged"))
        return ""
    existing = _examine_file(path, preset)
    if check or existing.refusal:
        return existing.damage or existing.refusal or "differs"
    if existing.damage:
        backup = path.with_name(f"{path.name}.bak")
        write_bytes(backup, path.read_bytes())
        console.out.print(console.plain(f"{path}: damaged; kept as {backup.name}"))
    write_text(path, text)
    console.out.print(console.plain(f"{path}: written"))
    return ""


@dataclass(frozen=True)
class _ExistingFile:
    """The file that already has the path of a preset file, if there is one.

    Attributes:
        refusal: why the file must not be replaced; empty if it may be.
        damage: why the file cannot be loaded; empty if it can be, or if there is no file.
    """

    refusal: str = ""
    damage: str = ""


def _examine_file(path: Path, preset: Preset) -> _ExistingFile:
    """Find out whether a file may be replaced by a preset: only a file of the same campaign may be."""
    if not path.exists():
        return _ExistingFile()
    damage = ""
    try:
        load_preset(str(path))
        is_replaceable = is_of_same_campaign(path, preset)
    except NewerSchemaError as error:
        return _ExistingFile(refusal=str(error))
    except ConfigError as error:
        damage = str(error)
        is_replaceable = preset.provenance is not None and _named_campaign(path) == preset.provenance.campaign
    refusal = "" if is_replaceable else "holds another preset; choose another name with export --as, or remove the file"
    return _ExistingFile(refusal, damage)


def _named_campaign(path: Path) -> str:
    """Return the campaign that a preset file names which cannot be loaded; empty if it names none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    match = re.search(r"^  campaign: '?([\w-]+)'?$", text, re.MULTILINE)
    return match[1] if match else ""
