"""The settings of bars, labels and splits."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from core.config import DataConfig, LabelConfig, parse
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


@pytest.mark.parametrize("symbol", ["BTCUSDT", "btcusdt", "BTC/USDT", "btc-usdt", "BTC_USDT", "BTC/USDT:USDT"])
def test_every_spelling_of_a_symbol_means_the_same(symbol: str) -> None:
    assert DataConfig(symbols=(symbol,)).symbols == ("BTCUSDT",)


@pytest.mark.parametrize(
    ("written", "meant"), [("60m", "1h"), ("24h", "1d"), ("3600s", "1h"), ("90m", "90m"), ("5m", "5m"), ("1H", "1h")]
)
def test_every_spelling_of_an_interval_means_the_same(written: str, meant: str) -> None:
    assert DataConfig(symbols=("BTCUSDT",), interval=written).interval == meant


@pytest.mark.parametrize("interval", ["", "m", "0m", "1M", "1w", "5 m", "٣m", "-5m", "5m\n", "9999999s"])
def test_what_is_no_interval_is_refused(interval: str) -> None:
    with pytest.raises(ValidationError):
        DataConfig(symbols=("BTCUSDT",), interval=interval)


def test_an_exchange_is_spelled_in_small_letters_and_a_tilde_is_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = DataConfig(symbols=("BTCUSDT",), exchange="Binance", store=Path("~/bars"))
    assert (config.exchange, config.store) == ("binance", tmp_path / "bars")
    assert parse(DataConfig, {"files": ["~/a.parquet"]}, "here").files == (tmp_path / "a.parquet",)


@pytest.mark.parametrize(
    ("labels", "used"),
    [
        (LabelConfig(), {"quantiles"}),
        (LabelConfig(volatility_scaled=True), {"quantiles", "volatility_scaled", "volatility_span"}),
        (LabelConfig(kind="fixed"), {"fixed"}),
        (LabelConfig(kind="triple_barrier"), {"volatility_span", "barrier_width"}),
    ],
)
def test_the_labels_of_a_kind_depend_on_some_settings_alone(labels: LabelConfig, used: set[str]) -> None:
    assert labels.in_use() == {name: value for name, value in labels.model_dump(mode="json").items() if name in used}
