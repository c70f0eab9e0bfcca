"""The settings of a campaign, as its YAML and a command line's flags say together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.config import parse, read_yaml
from core.errors import ConfigError
from core.sources import SOURCES, merge_sources
from search.config import CampaignConfig


def resolve(campaign_file: Path | None, source: dict[str, Any], flags: dict[str, Any]) -> CampaignConfig:
    """The settings of a campaign: the YAML's, overridden by the flags.

    Args:
        campaign_file: the campaign YAML, if any.
        source: data settings named by flags.
        flags: campaign settings named by flags.

    Raises:
        ConfigError: a setting is unknown, missing or does not fit.
    """
    content = read_yaml(campaign_file) if campaign_file else {}
    where = str(campaign_file) if campaign_file else "command line"
    data = content.get("data") or {}
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: 'data' holds no settings", "Write it as lines of `key: value` below `data:`")
    data = merge_sources(data, source)
    if not any(kind in data for kind in SOURCES):
        stray = sorted({"store", "exchange", "days", "until", "offline", "interval"} & set(data))
        if stray:
            raise ConfigError(
                f"{', '.join(stray)} was said of the data, but not which data", "Add --symbols, --data or --synthetic"
            )
        data["synthetic"] = {}
    if "max_epochs" in content | flags and "grace" not in content:
        most = (content | flags)["max_epochs"]
        flags = {**flags, "grace": min(2, most) if isinstance(most, int) and most > 0 else 2}
    if "confirm" in content:  # the flag only asks for what the file says how to do
        flags = {key: value for key, value in flags.items() if key != "confirm"}
    content = {**content, **flags, "data": data}
    if "name" not in content:
        raise ConfigError("The campaign has no name", "Add --name NAME")
    return parse(CampaignConfig, content, where)
