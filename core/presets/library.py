"""Preset files: the recipe of one training, by name.

A preset names the six hyperparameters plus schedule, epochs, patience, smoothing and
augmentation; what it leaves out takes the value that `production_small` has, which is also
the default of each setting in `core.config.base`.

A name is looked up among the shipped presets first, so that no file of the working folder can
pose as one of them, then in the folder `presets/` of the working directory. A name that ends in
`.yaml` is a path.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from core.config import check_name, parse
from core.errors import ConfigError
from core.files import read_yaml, write_text
from core.presets.rendering import preset_yaml
from core.presets.schema import SCHEMA_VERSION, NewerSchemaError, Preset

SHIPPED = Path(__file__).parent
USER_FOLDER = Path("presets")


def shipped_preset_names() -> list[str]:
    """Names of the presets that come with the package, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def preset_names() -> list[str]:
    """Names of all presets that `load` finds here, sorted."""
    return sorted({*shipped_preset_names(), *(path.stem for path in USER_FOLDER.glob("*.yaml"))})


def load_preset(name_or_path: str) -> Preset:
    """Load a preset by name, or by path when it ends in `.yaml`.

    Raises:
        ConfigError: there is no such preset, or its file is damaged.
    """
    if name_or_path.endswith(".yaml"):
        return _read(Path(name_or_path))
    check_name(name_or_path)
    for folder in (SHIPPED, USER_FOLDER):
        if (folder / f"{name_or_path}.yaml").is_file():
            return _read(folder / f"{name_or_path}.yaml")
    known = preset_names()
    close = difflib.get_close_matches(name_or_path, known, n=1)
    hint = f"Did you mean {close[0]!r}? There are" if close else "There are"
    raise ConfigError(f"There is no preset {name_or_path!r}", f"{hint}: {', '.join(known)}")


def _read(path: Path) -> Preset:
    content = read_yaml(path)
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"{path} has schema version {version}, this program knows up to {SCHEMA_VERSION}", "Upgrade preset-search"
        )
    preset = parse(Preset, _migrated(content), str(path))
    if preset.name != path.stem:
        raise ConfigError(f"{path} holds a preset that is named {preset.name!r}", "Give file and preset one name")
    return preset


def _migrated(content: dict[str, Any]) -> dict[str, Any]:
    """The same preset in the present layout.

    1 to 2: presets of the guide had an empty provenance instead of none.
    """
    if content.get("schema_version", 1) == 1:
        return {**content, "schema_version": 2, "provenance": content.get("provenance") or None}
    return content


def save_preset(preset: Preset, folder: Path = USER_FOLDER) -> Path:
    """Write a preset to `folder/<name>.yaml`, whole or not at all.

    Writing a preset of the same campaign on the same data again is allowed; replacing another one is not.

    Raises:
        NewerSchemaError: a later version of this program wrote the file that is there.
        ConfigError: the name is taken, or the folder cannot be written.
    """
    path = folder / f"{preset.name}.yaml"
    text = preset_yaml(preset)
    if preset.name in shipped_preset_names():
        raise ConfigError(f"{preset.name!r} is a shipped preset", "Choose another name")
    if path.is_file() and path.read_bytes() == text.encode():
        return path
    if path.exists() and not is_of_same_campaign(path, preset):
        raise ConfigError(
            f"{path} already holds another preset, or that of another campaign of this name",
            "Choose another name, or remove that file",
        )
    write_text(path, text)
    return path


def is_of_same_campaign(path: Path, preset: Preset) -> bool:
    """Whether a file holds a preset of the same campaign, on the same data: an earlier state of this one.

    Raises:
        NewerSchemaError: a later version of this program wrote the file.
    """
    try:
        there = _read(path).provenance
    except NewerSchemaError:
        raise
    except ConfigError:
        return False
    own = preset.provenance
    if there is None or own is None:
        return False
    if None not in (there.started, own.started) and there.started != own.started:
        return False
    return (there.campaign, there.data.fingerprint) == (own.campaign, own.data.fingerprint)
