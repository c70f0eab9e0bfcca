"""The settings of bars, labels and splits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.config import DataConfig, parse
from core.errors import ConfigError
from tests.helpers.configs import read_settings


@pytest.mark.parametrize(
    "sources",
    [{}, {"symbols": ["A"], "synthetic": {}}, {"files": ["a.parquet"], "symbols": ["A"]}],
    ids=["none", "symbols and synthetic", "files and symbols"],
)
def test_exactly_one_source_of_data_is_asked_for(sources: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="exactly one source of data"):
        parse(DataConfig, sources, "here")


@pytest.mark.parametrize("quantiles", [[0.8, 0.2], [0.5, 0.5], [0.0, 0.5], [0.5, 1.0]])
def test_label_quantiles_must_rise_between_0_and_1(quantiles: list[float]) -> None:
    with pytest.raises(ConfigError, match="quantiles"):
        parse(DataConfig, {"symbols": ["A"], "labels": {"quantiles": quantiles}}, "here")


@pytest.mark.parametrize("interval", ["5", "m", "0m", "5x", "5m ", "-5m"])
def test_an_interval_is_a_count_and_a_unit(interval: str) -> None:
    with pytest.raises(ConfigError, match="'interval'"):
        parse(DataConfig, {"symbols": ["A"], "interval": interval}, "here")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-03-02", datetime(2024, 3, 2, tzinfo=UTC)),
        ("2024-03-02T12:30", datetime(2024, 3, 2, 12, 30, tzinfo=UTC)),
        ("2024-03-02 12:30:00+02:00", datetime(2024, 3, 2, 10, 30, tzinfo=UTC)),
        ("2024-03-02T12:30Z", datetime(2024, 3, 2, 12, 30, tzinfo=UTC)),
    ],
)
def test_an_end_is_a_date_or_an_instant_in_utc_unless_it_names_a_zone(
    tmp_path: Path, text: str, instant: datetime
) -> None:
    for content in ({"symbols": ["A"], "until": text}, read_settings(tmp_path, f"symbols: [A]\nuntil: {text}")):
        until = parse(DataConfig, content, "here").until
        assert until is not None
        assert until == instant
        assert until.tzinfo is not None
