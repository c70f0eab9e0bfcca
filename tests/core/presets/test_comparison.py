"""What a preset was measured with is the default of a training from it, and what differs is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config import DataConfig, LabelConfig, SyntheticConfig, TableConfig, parse
from core.errors import ConfigError
from core.presets import Preset, data_defaults, find_differences, load_preset
from tests.helpers.preset_files import make_preset

MEASURED = load_preset("btc_eth_15m_8m")
"""A preset that was measured with quick, 15m, window 60, horizon 1 and quantile labels, on BTCUSDT and ETHUSDT."""
SYMBOLS = MEASURED.provenance.data.symbols if MEASURED.provenance else ()


def _with_data(**changes: Any) -> Preset:
    """Return the measured preset with other facts about its data."""
    assert MEASURED.provenance is not None
    data = MEASURED.provenance.data.model_copy(update=changes)
    return MEASURED.model_copy(update={"provenance": MEASURED.provenance.model_copy(update={"data": data})})


def _config(preset: Preset = MEASURED, **settings: Any) -> DataConfig:
    return parse(DataConfig, {**data_defaults(preset, settings), **settings}, "test")


def _differences(preset: Preset = MEASURED, interval: str = "15m", **settings: Any) -> list[str]:
    recipe = preset.training_config()
    found = find_differences(preset, recipe, _config(preset, symbols=list(SYMBOLS), **settings), interval, SYMBOLS)
    return [str(difference) for difference in found]


def test_the_defaults_are_the_recorded_settings() -> None:
    config = _config(symbols=["BTCUSDT"])
    assert (config.interval, config.window, config.horizon) == ("15m", 60, 1)
    assert config.labels == LabelConfig()
    labels = {"kind": "triple_barrier", "barrier_width": 2.0}
    other = _with_data(window=24, horizon=7, bar=3_600_000_000, settings={"labels": labels, "features": ["funding"]})
    config = _config(other, synthetic={})
    assert (config.interval, config.window, config.horizon) == ("1h", 24, 7)
    assert config.labels == LabelConfig(kind="triple_barrier", barrier_width=2.0)
    assert config.features == ("funding",)


def test_what_the_user_sets_goes_before_the_recorded_settings() -> None:
    config = _config(symbols=["BTCUSDT"], interval="5m", window=8, horizon=3, labels={"kind": "fixed"})
    assert (config.interval, config.window, config.horizon) == ("5m", 8, 3)
    assert config.labels.kind == "fixed"


def test_gaps_and_closures_are_treated_as_measured() -> None:
    assert _differences(sessions=True, fill_untraded=2) == [
        "fill_untraded 2 differs from the 0 that the preset was measured with",
        "sessions true differ from the false that the preset was measured with",
    ]
    other = _with_data(settings={"sessions": True, "features": {"funding": {"hold": "9h"}}})
    config = _config(other, synthetic={})
    assert (config.sessions, config.holds) == (True, {"funding": "9h"})
    assert _differences(other, features=["funding"]) == [
        "named features funding differ from the funding (hold 9h) that the preset was measured with"
    ]


def test_exceptions_from_the_check_of_columns_hold_for_the_recorded_columns_alone() -> None:
    measured = _with_data(settings={"features": ["funding"], "allow_lookahead": ["funding"]})
    assert data_defaults(measured, {"symbols": ["BTCUSDT"]})["allow_lookahead"] == ["funding"]
    assert "allow_lookahead" not in data_defaults(measured, {"symbols": ["BTCUSDT"], "features": ["flow"]})


def test_files_and_tables_keep_what_is_their_own() -> None:
    assert "interval" not in data_defaults(MEASURED, {"files": ["binance_BTCUSDT_5m.parquet"]})
    assert data_defaults(MEASURED, {"files": [], "symbols": ["BTCUSDT"]})["interval"] == "15m"
    defaults = data_defaults(MEASURED, {"table": {"files": ["store.parquet"]}})
    assert defaults == {"window": 60, "val_fraction": 0.15, "test_fraction": 0.15}


def test_a_preset_without_provenance_has_no_such_defaults_and_nothing_differs_from_it() -> None:
    preset = load_preset("conservative")
    assert data_defaults(preset, {"synthetic": {}}) == {}
    config = DataConfig(synthetic=SyntheticConfig(), window=8)
    assert find_differences(preset, preset.training_config(size="large"), config, "1d", ("ABC",)) == []


def test_the_recipe_is_of_the_recorded_size_and_metric() -> None:
    assert MEASURED.provenance is not None
    provenance = MEASURED.provenance.model_copy(update={"model": "large", "ranking_metric": "mcc"})
    preset = MEASURED.model_copy(update={"provenance": provenance})
    recipe = preset.training_config()
    assert (recipe.model.size, recipe.trainer.metric) == ("large", "mcc")
    recipe = preset.training_config(size="small", metric="nll")
    assert (recipe.model.size, recipe.trainer.metric) == ("small", "nll")
    recipe = make_preset().training_config()
    assert (recipe.model.size, recipe.trainer.metric) == ("quick", "macro_f1")


def test_a_training_as_it_was_measured_differs_in_nothing() -> None:
    assert _differences() == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"horizon": 3}, "horizon 3 differs from the 1 that the preset was measured with"),
        ({"window": 8}, "window 8 differs from the 60 that the preset was measured with"),
        ({"interval": "5m"}, "interval 5m differs from the 15m that the preset was measured with"),
        (
            {"labels": {"quantiles": [0.3, 0.7]}},
            "labels quantile (quantiles [0.3, 0.7]) differ from the quantile (quantiles [0.25, 0.75]) that the preset "
            "was measured with",
        ),
        (
            {"labels": {"volatility_scaled": True}},
            "labels quantile (quantiles [0.25, 0.75], volatility_scaled True, volatility_span 48) differ from the "
            "quantile (quantiles [0.25, 0.75]) that the preset was measured with",
        ),
        ({"features": ["funding"]}, "named features funding differ from the none that the preset was measured with"),
        ({"val_fraction": 0.2}, "val_fraction 0.2 differs from the 0.15 that the preset was measured with"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_each_difference_is_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    interval = settings.get("interval", "15m")
    assert _differences(**{"interval": interval, **settings}) == [sentence]


def test_size_metric_and_symbols_are_compared_too() -> None:
    recipe = MEASURED.training_config(size="small", metric="nll")
    found = find_differences(MEASURED, recipe, _config(symbols=["SOLUSDT"]), "15m", ("SOLUSDT",))
    assert [(difference.name, difference.is_of_model) for difference in found] == [
        ("model", True),
        ("metric", False),
        ("symbols", False),
    ]
    assert str(found[2]) == "symbols SOLUSDT differ from the BTCUSDT, ETHUSDT that the preset was measured with"


def test_what_labels_do_not_depend_on_makes_no_difference() -> None:
    assert _differences(labels={"fixed": [-0.1, 0.1], "barrier_width": 3.0, "volatility_span": 7}) == []
    barriers = _with_data(settings={"labels": {"kind": "triple_barrier"}})
    same = {"kind": "triple_barrier", "quantiles": [0.1, 0.9], "volatility_scaled": True}
    assert _differences(barriers, labels=same) == []
    assert _differences(barriers, labels={"kind": "triple_barrier", "volatility_span": 7}) != []


def test_what_is_not_recorded_or_not_known_is_not_compared() -> None:
    early = _with_data(settings={}, bar=None)
    assert _differences(early, labels={"kind": "fixed"}, features=["funding"]) == []
    assert "interval" not in data_defaults(early, {"symbols": ["BTCUSDT"]})
    table = TableConfig(files=(Path("store.parquet"),), features=("f_*",), label="y", returns="r")
    config = DataConfig(table=table, horizon=1, labels=LabelConfig(kind="fixed"))
    assert find_differences(MEASURED, MEASURED.training_config(), config, "", ()) == []


def test_labels_that_this_version_does_not_know_are_refused_by_name() -> None:
    preset = _with_data(settings={"labels": {"kind": "meta"}})
    with pytest.raises(ConfigError, match=r"preset btc_eth_15m_8m, provenance.data.settings: 'labels.kind'"):
        find_differences(preset, preset.training_config(), DataConfig(synthetic=SyntheticConfig()), "15m", ())
