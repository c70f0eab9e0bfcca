"""Finds, reads and writes presets: files that hold the recipe of one training.

A preset sets the six hyperparameters plus schedule, epochs, patience, loss, label smoothing and augmentation; what it
leaves out has the value of `production_small`, which is also the default of each setting in `core.config`.

A name is looked up among the shipped presets first, so that no file of the working folder can pose as one of them, and
then in the folder `presets/` of the working directory. A name that ends in `.yaml` is a path.
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
"""Folder of the presets that come with the package."""
USER_FOLDER = Path("presets")
"""Folder of the user's own presets, in the working directory."""


def shipped_preset_names() -> list[str]:
    """Return the names of the presets that come with the package, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def preset_names() -> list[str]:
    """Return the names of all presets that `load_preset` finds from the working directory, sorted."""
    return sorted({*shipped_preset_names(), *(path.stem for path in USER_FOLDER.glob("*.yaml"))})


def load_preset(name_or_path: str) -> Preset:
    """Load a preset by name, or by path if the text ends in `.yaml`.

    Args:
        name_or_path: the name of a shipped or own preset, or the path of a preset file.

    Raises:
        NewerSchemaError: a later version of this program wrote the file.
        ConfigError: there is no such preset, or its file is damaged.

    Example:
        `load_preset("production_small")`, `load_preset("presets/btc_eth_30d.yaml")`
    """
    if name_or_path.endswith(".yaml"):
        return _read(Path(name_or_path))
    check_name(name_or_path)
    for folder in (SHIPPED, USER_FOLDER):
        if (folder / f"{name_or_path}.yaml").is_file():
            return _read(folder / f"{name_or_path}.yaml")
    names = preset_names()
    suggestions = difflib.get_close_matches(name_or_path, names, n=1)
    hint = f"Did you mean {suggestions[0]!r}? There are" if suggestions else "There are"
    raise ConfigError(f"There is no preset {name_or_path!r}", f"{hint}: {', '.join(names)}")


def _read(path: Path) -> Preset:
    content = read_yaml(path)
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise NewerSchemaError(
            f"{path} has schema version {version}, but this program knows only versions up to {SCHEMA_VERSION}",
            "Upgrade preset-search",
        )
    preset = parse(Preset, migrate(content), str(path))
    if preset.name != path.stem:
        raise ConfigError(f"{path} holds a preset named {preset.name!r}", "Give the file and the preset the same name")
    return preset


def migrate(content: dict[str, Any]) -> dict[str, Any]:
    """Convert the content of a preset file to the present layout.

    Version 1 to 2: presets of the guide had an empty provenance instead of none. Version 2 to 3: the lead on test was
    always in macro-F1; what was said of returns and overfitting was measured in a way that is no longer trusted.
    Version 3 to 4: networks had no path from the last bar and no forest, and weights were not averaged.
    """
    if content.get("schema_version", 1) == 1:
        content = {**content, "schema_version": 2, "provenance": content.get("provenance") or None}
    if content["schema_version"] == 2:
        content = {**content, "schema_version": 3, "provenance": _migrate_provenance(content.get("provenance"))}
    if content["schema_version"] == 3:
        training = content.get("training") or {}
        if isinstance(training, dict):
            training = {"last_bar": "none", "forest": "none", "ema_decay": 0.0, **training}
        content = {**content, "schema_version": 4, "training": training}
    return content


def _migrate_provenance(provenance: Any) -> Any:
    """Convert the provenance of version 2 to that of version 3."""
    confirmation = provenance.get("confirmation") if isinstance(provenance, dict) else None
    if not isinstance(confirmation, dict):
        return provenance
    kept = {key: value for key, value in confirmation.items() if key != "deflated_sharpe"}
    not_measured = {"tradable": None, "probabilistic_sharpe": None, "overfitting": None}
    test = kept.get("test")
    headline = {**test, "lead_metric": "macro_f1"} if isinstance(test, dict) else test
    return {**provenance, "confirmation": {**kept, **not_measured, "test": headline}}


def save_preset(preset: Preset, folder: Path = USER_FOLDER) -> Path:
    """Write a preset to `folder/<name>.yaml`, whole or not at all.

    An existing file is replaced only if it holds a preset of the same campaign on the same data.

    Args:
        preset: the preset to write.
        folder: folder of the file; it is created if needed.

    Returns:
        The path of the file.

    Raises:
        NewerSchemaError: a later version of this program wrote the existing file.
        ConfigError: the name is that of a shipped preset or of another preset, or the folder cannot be written.
    """
    path = folder / f"{preset.name}.yaml"
    text = preset_yaml(preset)
    if preset.name in shipped_preset_names():
        raise ConfigError(f"{preset.name!r} is a shipped preset", "Choose another name")
    if path.is_file() and path.read_bytes() == text.encode():
        return path
    if path.exists() and not is_of_same_campaign(path, preset):
        raise ConfigError(
            f"{path} already holds another preset, or one of another campaign of this name",
            "Choose another name, or remove that file",
        )
    write_text(path, text)
    return path


def is_of_same_campaign(path: Path, preset: Preset) -> bool:
    """Return whether a file holds a preset of the same campaign on the same data: an earlier state of this preset.

    Args:
        path: the file, which may be damaged.
        preset: the preset to compare with.

    Raises:
        NewerSchemaError: a later version of this program wrote the file.
    """
    try:
        recorded = _read(path).provenance
    except NewerSchemaError:
        raise
    except ConfigError:
        return False
    current = preset.provenance
    if recorded is None or current is None:
        return False
    # Files that older versions of this program wrote do not record the start.
    if None not in (recorded.started, current.started) and recorded.started != current.started:
        return False
    return (recorded.campaign, recorded.data.fingerprint) == (current.campaign, current.data.fingerprint)
