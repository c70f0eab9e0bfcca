"""The data settings that a command line asks for: those of a YAML file, overridden by flags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import SOURCES, DataConfig, SyntheticConfig, merge_sources, parse, refuse_without_effect
from core.errors import ConfigError
from core.files import read_yaml
from core.presets import Preset, data_defaults

if TYPE_CHECKING:
    from core.inference import TrainedModel


def data_settings(**flags: Any) -> dict[str, Any]:
    """Convert the flags of a command line to data settings.

    Args:
        **flags: values of the flags by name; None or False where a flag is not given.

    Returns:
        The settings of the flags that are given, in values that JSON can hold.

    Raises:
        ConfigError: an exchange is given for files whose names tell another one, or a glob matches no file.
        DataError: a folder has no file of bars.
    """
    renamed = {"data": "files"}
    settings: dict[str, Any] = {}
    for name, value in flags.items():
        if value is None or value is False:
            continue
        if name == "synthetic":
            settings["synthetic"] = SyntheticConfig().model_dump(mode="json")
        elif isinstance(value, list):
            settings[renamed.get(name, name)] = [str(item) for item in value]
        else:
            settings[name] = str(value) if isinstance(value, Path) else value
    if "files" in settings and "exchange" in settings:
        _refuse_exchange(settings["files"], settings["exchange"])
    return settings


def _refuse_exchange(files: list[str], exchange: str) -> None:
    """Refuse an exchange beside files whose names all tell another one."""
    from core.data.file_format import FILE_NAME
    from core.data.sources.file_names import list_files

    matches = [FILE_NAME.fullmatch(path.name) for path in list_files([Path(file) for file in files]).files]
    told = sorted({match["exchange"] for match in matches if match})
    if all(matches) and told != [exchange.lower()]:
        raise ConfigError(
            f"--exchange {exchange} has no effect: the names of the files tell theirs ({', '.join(told)})",
            "Leave it out",
        )


def data_config(
    settings: dict[str, Any],
    file: Path | None,
    preset: Preset | None = None,
    fixed: Mapping[str, Any] | None = None,
) -> DataConfig:
    """Merge the data settings of a campaign's YAML with those of flags, which override them.

    Args:
        settings: settings of the flags, as `data_settings` returns them.
        file: YAML that a campaign is started with, or `results/<name>/campaign.yaml`; None if there is none.
        preset: preset whose recorded data settings stand for those that neither YAML nor flags give; None for no such
            defaults.
        fixed: settings that hold whatever YAML and flags say, such as those that a model was trained with.

    Raises:
        ConfigError: the file cannot be read, or a setting is unknown, does not fit, or can have no effect.
    """
    file_settings: Any = {}
    is_recorded = False  # by this program, which may have let pass what is refused today
    if file is not None:
        content = read_yaml(file)
        is_recorded = bool(content.get("config"))
        campaign = (content.get("config") or content) if isinstance(content.get("config", {}), dict) else {}
        file_settings = campaign.get("data") or {}
        if not isinstance(file_settings, dict):
            raise ConfigError(f"{file}: 'data' holds no settings", "Write it as lines of `key: value` below `data:`")
    merged = merge_sources(file_settings, settings)
    in_file = () if is_recorded else merged.keys() - settings.keys()
    if preset is not None:
        merged = {**data_defaults(preset, merged), **merged}
    config = parse(DataConfig, {**merged, **(fixed or {})}, str(file) if file else "command line")
    refuse_without_effect(config, settings, in_file)
    return config


def bars_like_the_trainings(trained: TrainedModel, settings: dict[str, Any], file: Path | None) -> DataConfig:
    """Return settings that read the bars of the command line in the same way as the training read its bars.

    Args:
        trained: the model, which holds the data settings of its training.
        settings: data settings of the command line.
        file: YAML file of a campaign whose data settings are used; None if there is none.

    Raises:
        ConfigError: no source of bars is named, or a setting does not fit.
    """
    if file is None and not any(name in settings for name in SOURCES):
        raise ConfigError("No bars are named", "Use --data, --symbols, --synthetic or --config")
    return data_config(settings, file, fixed=trained.bar_settings)


def bar_location(file: Path) -> dict[str, Any]:
    """Return those settings of a campaign's YAML that say where its data are, and no others.

    Raises:
        ConfigError: the file cannot be read, or its settings do not fit.
    """
    location = {*SOURCES, "store", "exchange", "offline"}
    return dict(data_config({}, file).model_dump(mode="json", include=location, exclude_defaults=True))
