"""Loads the bars that recorded figures were measured on, and refuses all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from core.config import SOURCES, DataConfig, parse
from core.data.dataset import Dataset, load_dataset
from core.data.sources.fetch import fetch_missing
from core.errors import ConfigError, DataError
from core.presets.provenance import PresetData
from search.results.records import DataRecord


class OtherBarsError(DataError):
    """The bars are not those that the figures were measured on, so that nothing can be said about the figures."""


def load_recorded(data: PresetData | DataRecord, source: Mapping[str, Any], name: str) -> Dataset:
    """Load the data that figures were measured on.

    Args:
        data: the record of the data.
        source: data settings that say where the bars lie; empty for the synthetic market.
        name: what was measured on the data, for messages.

    Raises:
        ConfigError: no bars are named, and the data are not those of the synthetic market.
        OtherBarsError: the bars are not the recorded ones.
        DataError: the bars cannot be used.
    """
    config = _data_config(data, source, name)
    fetch_missing(config)
    dataset = load_dataset(config)
    if dataset.fingerprint != data.fingerprint:
        raise OtherBarsError(
            f"These are not the bars that {name} was confirmed on: nothing can be verified",
            "Name the bars of its confirmation",
        )
    return dataset


def _data_config(data: PresetData | DataRecord, source: Mapping[str, Any], name: str) -> DataConfig:
    """Return the recorded data settings with the bars that the source names, cut to the recorded span."""
    start, last_bar = (pd.Timestamp(instant) for instant in data.span)
    settings = {**data.settings, **source}
    names_bars = any(kind in source for kind in SOURCES if kind != "synthetic")
    if data.synthetic and not names_bars:
        return parse(DataConfig, settings, name)
    settings.pop("synthetic", None)
    if not names_bars:
        raise ConfigError(
            "No bars are named",
            f"Add --data FILE…, or --symbols {' '.join(data.symbols)} --store DIR, or --config CAMPAIGN.yaml",
        )
    end = last_bar + pd.Timedelta(microseconds=data.bar or 0)
    settings |= {"until": end.isoformat(), "days": (end - start) / pd.Timedelta(days=1)}
    return parse(DataConfig, settings, name)
