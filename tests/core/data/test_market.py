"""Features reach across short gaps, windows across closures, and labels across neither."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.config import DataConfig, LabelConfig
from core.data.bars import Bars
from core.data.completion import mark_reopenings
from core.data.continuity import find_gaps
from core.data.features.registry import FEATURES
from core.data.labels import NO_LABEL
from core.data.market import BRIDGED_BARS, SymbolData, bars_market
from core.errors import DataError
from tests.core.data.test_continuity import session_starts
from tests.helpers.market import prepare, random_bars, without_rows

WINDOW, HORIZON = 20, 4
WARMUP = max(feature.warmup for feature in FEATURES)


def _symbol(bars: Bars, **settings: object) -> SymbolData:
    config = DataConfig(symbols=("BTCUSDT",), window=WINDOW, horizon=HORIZON, **settings)  # type: ignore[arg-type]
    return bars_market([mark_reopenings(bars) if config.sessions else bars], config).symbols[0]


def _session_bars() -> Bars:
    opened = session_starts()
    bars = random_bars(len(opened))
    return replace(bars, frame=bars.frame.assign(timestamp=pd.to_datetime(opened, unit="us", utc=True)))


@pytest.mark.parametrize("length", [1, BRIDGED_BARS])
def test_a_short_gap_costs_a_window_and_the_labels_before_it(length: int) -> None:
    data = _symbol(without_rows(random_bars(1000), np.arange(500, 500 + length)))
    lost = np.flatnonzero(~data.usable)
    expected = [
        *range(WARMUP + WINDOW - 1),
        *range(500 - HORIZON, 500 + WINDOW - 1),
        *range(996 - length, 1000 - length),
    ]
    assert lost.tolist() == expected


def test_a_longer_gap_costs_the_warm_up_too() -> None:
    data = _symbol(without_rows(random_bars(1000), np.arange(500, 501 + BRIDGED_BARS)))
    after = np.flatnonzero(data.window_ok & (np.arange(len(data.timestamps)) >= 500))
    assert after[0] == 500 + WARMUP + WINDOW - 1


def test_of_some_features_only_those_are_computed_and_warmed_up() -> None:
    bars, config = random_bars(1000), DataConfig(symbols=("BTCUSDT",), window=WINDOW, horizon=HORIZON)
    whole, some = bars_market([bars], config), bars_market([bars], config, only_features=["return_3", "return_1"])
    assert some.feature_names == ("return_1", "return_3")  # in the order of all features
    columns = [whole.feature_names.index(name) for name in some.feature_names]
    later = slice(WARMUP, None)
    np.testing.assert_array_equal(some.symbols[0].features[later], whole.symbols[0].features[later][:, columns])
    first = [int(np.flatnonzero(market.symbols[0].window_ok)[0]) for market in (some, whole)]
    warmup = max(feature.warmup for feature in FEATURES if feature.name in some.feature_names)
    assert first == [warmup + WINDOW - 1, WARMUP + WINDOW - 1]
    assert warmup < WARMUP


def test_a_feature_whose_columns_one_symbol_lacks_is_refused_by_name_only_if_it_is_asked_for() -> None:
    all_bars = [random_bars(1000), random_bars(1000, symbol="ETHUSDT")]
    all_bars[1] = replace(all_bars[1], frame=all_bars[1].frame.drop(columns="taker_buy_base"))
    config = DataConfig(symbols=("BTCUSDT", "ETHUSDT"), window=WINDOW, horizon=HORIZON)
    assert "taker_imbalance_4" not in bars_market(all_bars, config).feature_names
    with pytest.raises(DataError, match=r"^The feature\(s\) taker_imbalance_4 cannot .* column\(s\) taker_buy_base\. "):
        bars_market(all_bars, config, only_features=["return_1", "taker_imbalance_4"])


def test_features_beyond_a_short_gap_are_those_of_bars_without_trades() -> None:
    bars = random_bars(1000)
    frame = bars.frame.copy()
    quiet = slice(500, 503)
    close = frame["close"].iloc[499]
    for name in frame.columns[1:]:
        frame.loc[frame.index[quiet], name] = close if name in ("open", "high", "low", "close") else 0.0
    quoted = _symbol(replace(bars, frame=frame))
    missing = _symbol(without_rows(bars, np.arange(500, 503)))
    np.testing.assert_array_equal(missing.features[500:], quoted.features[503:])


def test_features_before_a_gap_do_not_depend_on_what_follows() -> None:
    bars = random_bars(1000)
    complete, cut = _symbol(bars), _symbol(without_rows(bars, np.arange(500, 503)))
    np.testing.assert_array_equal(complete.features[:500], cut.features[:500])


@pytest.mark.parametrize(
    "labels", [LabelConfig(), LabelConfig(volatility_scaled=True), LabelConfig(kind="triple_barrier")]
)
@pytest.mark.parametrize("sessions", [False, True])
def test_no_label_reaches_across_a_closure(sessions: bool, labels: LabelConfig) -> None:
    bars = _session_bars()
    data = _symbol(bars, sessions=sessions, labels=labels)
    in_day = np.arange(len(data.timestamps)) % 78
    assert np.isnan(data.returns[in_day >= 78 - HORIZON]).all()
    assert np.isnan(data.trade_returns[in_day >= 77 - HORIZON]).all()
    assert not data.usable[in_day >= 78 - HORIZON].any()
    if data.labels is not None:
        assert (data.labels[in_day >= 78 - HORIZON] == NO_LABEL).all()


def test_windows_reach_across_closures_in_sessions_alone() -> None:
    bars = _session_bars()
    assert not _symbol(bars).window_ok.any()  # a day is shorter than the warm-up
    data = _symbol(bars, sessions=True)
    assert data.window_ok.tolist() == [row >= WARMUP + WINDOW - 1 for row in range(len(data.timestamps))]
    in_day = np.arange(len(data.timestamps)) % 78
    np.testing.assert_array_equal(data.usable, data.window_ok & (in_day < 78 - HORIZON))


def test_an_outage_in_a_session_is_a_gap() -> None:
    bars = without_rows(_session_bars(), np.arange(78 * 30 + 20, 78 * 30 + 20 + BRIDGED_BARS + 1))
    data = _symbol(bars, sessions=True)
    at = 78 * 30 + 20
    assert np.flatnonzero(data.is_break).tolist() == [0, at]
    assert not data.window_ok[at : at + WARMUP + WINDOW - 1].any()


def test_no_window_of_a_split_with_sessions_begins_before_the_end_of_the_split_before() -> None:
    config = DataConfig(symbols=("BTCUSDT",), window=120, horizon=4, sessions=True)
    dataset = prepare([mark_reopenings(_session_bars())], config)
    for rows, earlier in ((dataset.val, dataset.borders.train), (dataset.test, dataset.borders.val)):
        assert (dataset.timestamps[rows - 119] >= earlier[1]).all()
    for rows in (dataset.train, dataset.val, dataset.test):
        assert not find_gaps(dataset.timestamps, dataset.bar)[rows[:, None] + np.arange(1, 5)].any()


@pytest.mark.parametrize("name", ["segment", "returns", "is_filled", "bar"])
def test_a_named_column_keeps_its_values_whatever_its_name(name: str) -> None:
    bars = without_rows(random_bars(4100), np.arange(500, 503))
    future = np.log(bars.frame["close"].shift(-1) / bars.frame["close"]).fillna(0.0)
    named = replace(bars, frame=bars.frame.assign(**{name: future}), named=(name,))
    data = _symbol(named, features={name: {}})
    np.testing.assert_array_equal(data.features[WARMUP:500, -1], future[WARMUP:500])
    plain = _symbol(bars)
    np.testing.assert_array_equal(data.returns, plain.returns)
    with pytest.raises(DataError, match=f"Feature {name} of BTCUSDT seems to look into the future"):
        prepare([named], DataConfig(symbols=("BTCUSDT",), window=WINDOW, horizon=HORIZON, features={name: {}}))
