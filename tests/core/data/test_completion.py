"""Slow columns keep their last value; short gaps become untraded bars in which no label begins or ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import DataConfig, LabelConfig, parse
from core.data.bars import Bars, read_unchecked
from core.data.completion import fill_untraded, hold_columns, mark_reopenings
from core.data.dataset import load_dataset
from core.data.file_format import UNTRADED, level_columns
from core.data.labels import NO_LABEL
from core.data.market import bars_market
from core.data.sources.reader import read_bars
from core.data.summary import check_file, describe_data
from core.errors import ConfigError, DataError
from tests.helpers.market import prepare, random_bars, without_rows

EVERY = 96
"""Bars of 5 minutes from one funding rate to the next: eight hours."""


def _with_funding(bars: Bars, first: int = 0, last: int | None = None) -> Bars:
    """Return bars with a funding rate every eight hours, which is its row's number."""
    rows = np.arange(len(bars.frame))
    known = (rows >= first) & (rows % EVERY == 0) & (rows <= (len(rows) if last is None else last))
    return replace(bars, frame=bars.frame.assign(funding=np.where(known, rows, np.nan)), named=("funding",))


def test_a_slow_column_keeps_its_last_value_and_never_takes_a_later_one() -> None:
    bars = hold_columns(_with_funding(random_bars(1000)), {"funding": "8h"})
    rows = np.arange(1000)
    assert bars.frame["funding"].tolist() == (rows - rows % EVERY).tolist()


def test_bars_before_the_first_value_are_left_out() -> None:
    original = _with_funding(random_bars(1000), first=100)
    held = hold_columns(original, {"fund*": "9h"})
    assert held.opened[0] == original.opened[192]
    assert held.frame["funding"].notna().all()


@pytest.mark.parametrize("bars", [_with_funding(random_bars(1000), last=0), _with_funding(random_bars(300), last=100)])
def test_a_value_is_held_no_longer_than_allowed(bars: Bars) -> None:
    with pytest.raises(DataError, match=r"funding has had no value for 0 days 08:05:00, longer than the 8h") as caught:
        hold_columns(bars, {"funding": "8h"})
    assert "hold it longer" in caught.value.remedy


def test_a_column_without_any_value_is_refused() -> None:
    bars = random_bars(10)
    empty = replace(bars, frame=bars.frame.assign(funding=np.nan), named=("funding",))
    with pytest.raises(DataError, match="BTCUSDT has no value of funding"):
        hold_columns(empty, {"funding": "8h"})


@given(rows=st.sets(st.integers(0, 59), min_size=1), hold=st.integers(1, 60))
def test_a_held_value_is_the_newest_one_known(rows: set[int], hold: int) -> None:
    bars = random_bars(60)
    values = np.array([float(row) if row in rows else np.nan for row in range(60)])
    slow = replace(bars, frame=bars.frame.assign(slow=values), named=("slow",))
    expected = [max(known for known in rows if known <= row) for row in range(min(rows), 60)]
    if all(row - value <= hold for row, value in enumerate(expected, min(rows))):
        assert hold_columns(slow, {"slow": f"{5 * hold}m"}).frame["slow"].tolist() == expected
    else:
        with pytest.raises(DataError, match="longer than"):
            hold_columns(slow, {"slow": f"{5 * hold}m"})


def test_a_file_with_a_slow_column_is_a_dataset(tmp_path: Path) -> None:
    path = tmp_path / "binance_BTCUSDT_5m.parquet"
    _with_funding(random_bars(6000)).frame.to_parquet(path)
    with pytest.raises(DataError, match="has no finite funding") as caught:
        load_dataset(DataConfig(files=(path,), features=("funding",)))
    assert 'features: {"funding": {hold: 8h}}' in caught.value.remedy
    config = parse(DataConfig, {"files": [str(path)], "features": {"funding": {"hold": "8h"}}}, "test")
    dataset = load_dataset(config)
    assert dataset.feature_names[-1] == "funding"
    content, _ = read_unchecked(path, config.feature_patterns)
    assert check_file(path, content, tuple(config.holds)).problems == ()
    assert len(check_file(path, content).problems) == 1
    joined = read_bars(config)[0].frame["funding"]
    assert joined.notna().all()


def test_features_without_settings_are_read_from_a_mapping_too() -> None:
    config = parse(DataConfig, {"symbols": ["A"], "features": {"oi": {}, "funding_*": {"hold": "480m"}}}, "test")
    assert config.feature_patterns == ("oi", "funding_*")
    assert config.holds == {"funding_*": "8h"}
    assert parse(DataConfig, config.model_dump(mode="json", exclude_unset=True), "again") == config


@pytest.mark.parametrize("settings", [{"funding": {"hold": "soon"}}, {"funding": {"held": "8h"}}, {"funding": "8h"}, 7])
def test_wrong_settings_of_a_feature_are_refused_in_one_line(settings: object) -> None:
    with pytest.raises(ConfigError, match="features") as caught:
        parse(DataConfig, {"symbols": ["A"], "features": settings}, "test")
    assert "\n" not in str(caught.value)


def test_gaps_are_filled_up_to_the_limit_and_marked() -> None:
    bars = random_bars(1000)
    filled = fill_untraded(without_rows(bars, np.r_[100:103, 200:204]), 3)
    assert filled.opened.tolist() == np.delete(bars.opened, np.s_[200:204]).tolist()
    assert np.flatnonzero(filled.frame[UNTRADED]).tolist() == [100, 101, 102]
    made = filled.frame.iloc[100:103]
    assert (made[["open", "high", "low", "close"]] == bars.frame["close"].iloc[99]).all(axis=None)
    assert (made["volume"] == 0).all()


@pytest.mark.parametrize(
    "labels", [LabelConfig(), LabelConfig(volatility_scaled=True), LabelConfig(kind="triple_barrier")]
)
def test_no_label_and_no_window_ends_in_an_untraded_bar_and_no_label_begins_in_one(labels: LabelConfig) -> None:
    horizon, window = 4, 20
    config = DataConfig(symbols=("A",), horizon=horizon, window=window, labels=labels, fill_untraded=6)
    filled = fill_untraded(without_rows(random_bars(1000), np.r_[500:503]), 6)
    data = bars_market([filled], config).symbols[0]
    made = np.arange(500, 503)
    unlabelled = sorted({*made, *(made - horizon), *range(996, 1000)})
    assert np.flatnonzero(np.isnan(data.returns)).tolist() == unlabelled
    if data.labels is not None:
        assert (data.labels[unlabelled] == NO_LABEL).all()
    # A trade enters in the next bar and leaves h bars later.
    trades = sorted({*made, *(made - 1), *(made - 1 - horizon), *range(995, 1000)})
    assert np.flatnonzero(np.isnan(data.trade_returns)).tolist() == trades
    after_warm_up = np.flatnonzero(~data.window_ok[300:]) + 300
    assert after_warm_up.tolist() == made.tolist()


def test_the_model_sees_which_bars_are_untraded_and_results_count_them() -> None:
    config = DataConfig(symbols=("A",), fill_untraded=3)
    dataset = prepare([fill_untraded(without_rows(random_bars(6000), np.r_[3000:3003]), 3)], config)
    assert UNTRADED in dataset.feature_names
    assert describe_data(dataset)["untraded"] == 3
    column = dataset.features[:, dataset.feature_names.index(UNTRADED)]
    assert np.flatnonzero(column != column[0]).tolist() == [3000, 3001, 3002]
    complete = prepare([random_bars(6000)], DataConfig(symbols=("A",)))
    assert UNTRADED not in complete.feature_names
    assert describe_data(complete)["untraded"] == 0


def test_no_price_has_a_say_in_what_is_a_closure() -> None:
    bars, other = (random_bars(24 * 30, seed, interval="1h") for seed in (0, 1))
    lunch = np.flatnonzero(np.arange(24 * 30) % 24 == 12)
    marked = [mark_reopenings(without_rows(item, lunch)).reopenings for item in (bars, other)]
    assert marked[0] is not None
    assert len(marked[0]) == 30
    np.testing.assert_array_equal(marked[0], marked[1])


def test_closures_are_not_filled_in_sessions() -> None:
    bars = random_bars(24 * 30, interval="1h")
    lunch = without_rows(bars, np.flatnonzero(np.arange(24 * 30) % 24 == 12))
    assert fill_untraded(mark_reopenings(lunch), 2).frame[UNTRADED].sum() == 0
    assert fill_untraded(lunch, 2).frame[UNTRADED].sum() == 30


def test_an_order_book_has_no_untraded_bars() -> None:
    bars = random_bars(10)
    book = pd.DataFrame({"timestamp": bars.frame["timestamp"]} | dict.fromkeys(level_columns(1), 1.0))
    with pytest.raises(ConfigError, match="The order book of BTCUSDT has no untraded bars"):
        fill_untraded(replace(bars, frame=book.assign(close=1.0)), 3)
