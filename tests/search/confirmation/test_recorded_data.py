from __future__ import annotations

from typing import Any

import pytest

from core.config import DataConfig, parse
from core.data.dataset import load_dataset
from core.data.summary import describe_data
from core.errors import ConfigError
from search.confirmation import recorded_data
from search.confirmation.recorded_data import OtherBarsError, load_recorded
from search.results.records import DataRecord

SETTINGS = {"synthetic": {"bars": 5000, "signal": 0.9}, "labels": {"kind": "quantile"}, "interval": "5m"}


def _record(**changes: Any) -> DataRecord:
    described = describe_data(load_dataset(parse(DataConfig, SETTINGS, "test")))
    return DataRecord.model_validate({**described, "settings": SETTINGS, **changes})


def test_the_synthetic_market_needs_no_bars() -> None:
    for source in ({}, {"synthetic": SETTINGS["synthetic"]}):  # a campaign's file names it, too
        assert load_recorded(_record(), source, "mine").fingerprint == _record().fingerprint


def test_other_data_than_the_recorded_ones_are_refused() -> None:
    with pytest.raises(OtherBarsError, match="not the bars that mine was confirmed on: nothing can be verified"):
        load_recorded(_record(fingerprint="another"), {}, "mine")


def test_recorded_bars_must_be_named() -> None:
    with pytest.raises(ConfigError, match=r"No bars are named.*--symbols BTCUSDT --store DIR"):
        load_recorded(_record(synthetic=False, symbols=("BTCUSDT",)), {}, "mine")


def test_the_named_bars_are_cut_to_the_recorded_span() -> None:
    span = ("2024-01-01T00:00:00+00:00", "2024-03-10T10:35:00+00:00")
    record = _record(synthetic=False, span=span, bar=300_000_000)
    config = recorded_data._data_config(record, {"symbols": ["BTCUSDT"], "store": "data"}, "mine")
    assert config.symbols == ("BTCUSDT",)
    assert config.until is not None
    assert config.until.isoformat() == "2024-03-10T10:40:00+00:00"
    assert config.days == pytest.approx(69.0 + (10 * 60 + 40) / 1440)
