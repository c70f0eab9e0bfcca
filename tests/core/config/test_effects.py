"""Settings that can have no effect are refused in one line."""

from __future__ import annotations

from typing import Any

import pytest

from core.config import DataConfig, merge_sources, parse, refuse_without_effect
from core.errors import ConfigError

FILES = {"files": ["binance_BTCUSDT_1h.parquet"]}
TABLE = {"table": {"files": ["t.parquet"], "features": ["f_*"], "label": "y", "returns": "r"}, "horizon": 3}
SYNTHETIC: dict[str, Any] = {"synthetic": {}}
SYMBOLS = {"symbols": ["BTCUSDT"]}


def _check(flags: dict[str, Any], in_file: dict[str, Any] | None = None) -> None:
    in_file = in_file or {}
    refuse_without_effect(parse(DataConfig, {**in_file, **flags}, "test"), flags, in_file)


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        (FILES | {"interval": "1h"}, "interval", "has no effect: the names of the files tell it. Leave it out."),
        (FILES | {"store": "other"}, "store", "has no effect: the files are read wherever they lie. Leave it out."),
        (TABLE | {"store": "other"}, "store", "has no effect: a feature table is read, and no store. Leave it out."),
        (TABLE | {"exchange": "kraken"}, "exchange", "has no effect: a feature table is read"),
        (TABLE | {"labels": {"kind": "fixed"}}, "labels", "has no effect: a feature table brings its own labels"),
        (SYNTHETIC | {"store": "other"}, "store", "has no effect: the synthetic market is made, not read"),
        (SYNTHETIC | {"exchange": "kraken"}, "exchange", "has no effect: the synthetic market has no exchange"),
    ],
)
def test_a_setting_of_another_source_is_refused(settings: dict[str, Any], name: str, message: str) -> None:
    with pytest.raises(ConfigError) as of_flags:
        _check(settings)
    assert str(of_flags.value).startswith(f"--{name} {message}")
    with pytest.raises(ConfigError) as of_file:
        _check({}, settings)
    assert str(of_file.value).startswith(f"{name} {message}")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"barrier_width": 2.0}, "labels: barrier_width has no effect on quantile labels"),
        ({"fixed": [-0.1, 0.1]}, "labels: fixed has no effect on quantile labels"),
        ({"volatility_span": 20}, "labels: volatility_span has no effect without volatility_scaled: true"),
        ({"kind": "fixed", "quantiles": [0.1, 0.9]}, "labels: quantiles has no effect on fixed labels"),
        ({"kind": "triple_barrier", "fixed": [-0.1, 0.1]}, "labels: fixed has no effect on triple_barrier labels"),
        ({"kind": "triple_barrier", "volatility_scaled": True}, "labels: volatility_scaled has no effect on triple"),
    ],
)
def test_a_setting_of_another_kind_of_labels_is_refused(labels: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _check({}, SYMBOLS | {"labels": labels})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [
        {"quantiles": [0.1, 0.9], "volatility_scaled": True, "volatility_span": 20},
        {"kind": "triple_barrier", "barrier_width": 2.0, "volatility_span": 20},
        {"kind": "fixed", "fixed": [-0.1, 0.1]},
    ],
)
def test_settings_that_have_an_effect_pass(labels: dict[str, Any]) -> None:
    _check({}, SYMBOLS | {"labels": labels, "store": "other", "interval": "1h", "exchange": "kraken"})
    _check({}, FILES | {"labels": labels, "exchange": "kraken"})  # files of other programs may not tell their exchange
    _check(SYNTHETIC | {"interval": "1h"})


@pytest.mark.parametrize("source", [FILES, TABLE, SYNTHETIC, SYMBOLS])
def test_a_file_that_holds_all_settings_passes(source: dict[str, Any]) -> None:
    _check({}, parse(DataConfig, source, "test").model_dump(mode="json", exclude_none=True))


def test_flags_that_name_another_source_drop_what_the_file_says_of_the_first() -> None:
    in_file = SYMBOLS | {"store": "other", "interval": "1h", "exchange": "kraken", "window": 20}
    assert merge_sources(in_file, FILES) == FILES | {"exchange": "kraken", "window": 20}
    assert merge_sources(in_file, SYNTHETIC) == SYNTHETIC | {"interval": "1h", "window": 20}
    assert merge_sources(in_file, {"days": 3}) == in_file | {"days": 3}
