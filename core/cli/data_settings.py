"""Which market data a command line means, and fetching what the store lacks of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.config import SOURCES, DataConfig, SyntheticConfig, merge_sources, parse
from core.errors import ConfigError
from core.files import read_yaml


def data_settings(**flags: Any) -> dict[str, Any]:
    """The data settings that the flags of a command line name, as plain values; flags not given are left out."""
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
    return settings


def data_config(settings: dict[str, Any], file: Path | None) -> DataConfig:
    """The data settings of a campaign's YAML (its own, or `results/<name>/campaign.yaml`), overridden by flags.

    Raises:
        ConfigError: a setting is unknown or does not fit.
    """
    written: Any = {}
    if file is not None:
        content = read_yaml(file)
        written = (content.get("config") or content) if isinstance(content.get("config", {}), dict) else {}
        written = written.get("data") or {}
        if not isinstance(written, dict):
            raise ConfigError(f"{file}: 'data' holds no settings", "Write it as lines of `key: value` below `data:`")
    return parse(DataConfig, merge_sources(written, settings), str(file) if file else "command line")


def bar_location(file: Path) -> dict[str, Any]:
    """What a campaign's YAML says of where its data lie, and nothing else that it says.

    Raises:
        ConfigError: it cannot be read, or its settings do not fit.
    """
    places = {*SOURCES, "store", "exchange", "offline"}
    told = data_config({}, file).model_dump(mode="json", include=places, exclude_defaults=True)
    return dict(told)
