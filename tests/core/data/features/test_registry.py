"""The contract of every feature; the value of each one is tested in test_price and test_orderbook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.data import file_format
from core.data.bars import read_bar_file
from core.data.features import registry
from core.data.features.registry import FEATURES, Feature
from core.data.file_format import SECOND, UNTRADED, column_microseconds
from core.data.validation import find_problems
from tests.helpers import market
from tests.helpers.market import JUMP, PLAIN, Columns

EXACT = 1e-6
WARMUP = max(feature.warmup for feature in FEATURES)
BARS = market.bars(WARMUP + 200)
BOOK = market.book(WARMUP + 200)
ON_BARS = registry.available_features(list(BARS))
ON_BOOKS = [feature for feature in FEATURES if feature not in ON_BARS and feature.name != UNTRADED]
EXPONENTIAL = {"true_range_7", "relative_strength_7", "direction_7", "trend_7", "macd_6_13_5"}

each_feature = pytest.mark.parametrize("feature", [*ON_BARS, *ON_BOOKS], ids=lambda feature: feature.name)
COUNT = WARMUP + 200
any_bars = st.tuples(st.just(COUNT), st.integers(0, 1000), market.prices, market.stretches)
any_book = st.tuples(
    st.just(COUNT), st.integers(0, 1000), st.just(20), market.prices, st.sampled_from([1e-8, 1.0, 1e12])
)
units = st.tuples(st.sampled_from([1e-5, 0.37, 7e3]), st.sampled_from([1e-7, 3.3, 1e6]))


def _columns_for(feature: Feature) -> Columns:
    return BARS if feature in ON_BARS else BOOK


def _assert_equal_after_warmup(part: Columns, full: Columns, features: list[Feature]) -> None:
    for feature in features:
        values = feature.compute(part)[feature.warmup :]
        expected = feature.compute(full)[-len(values) :]
        np.testing.assert_allclose(values, expected, rtol=EXACT, atol=EXACT, err_msg=feature.name)


def _assert_finite(columns: Columns, features: list[Feature]) -> None:
    for feature in features:
        values = feature.compute(columns)
        assert values.shape == columns["timestamp"].shape
        assert values.dtype == np.float64
        assert np.isfinite(values).all(), feature.name


def _assert_causal(columns: Columns, changed: Columns, last: int, features: list[Feature]) -> None:
    """Features up to row `last` equal those of columns that differ afterwards, and those of columns that end there."""
    for feature in features:
        values, changed_values = feature.compute(columns), feature.compute(changed)
        assert np.array_equal(values[: last + 1], changed_values[: last + 1]), feature.name
        early = feature.compute(market.part(columns, 0, max(last, feature.warmup) + 1))
        np.testing.assert_allclose(early, values[: len(early)], rtol=1e-9, atol=1e-9, err_msg=feature.name)


@given(last=st.integers(0, WARMUP + 197), seed=st.integers(1, 1000))
def test_no_feature_of_bars_sees_what_comes_after(last: int, seed: int) -> None:
    other = market.bars(len(BARS["timestamp"]), seed)
    changed = market.joined(market.part(BARS, 0, last + 1), market.part(other, last + 1))
    _assert_causal(BARS, changed, last, ON_BARS)


@given(last=st.integers(0, WARMUP + 197), seed=st.integers(1, 1000))
def test_no_feature_of_books_sees_what_comes_after(last: int, seed: int) -> None:
    other = market.book(len(BOOK["timestamp"]), seed)
    changed = market.joined(market.part(BOOK, 0, last + 1), market.part(other, last + 1))
    _assert_causal(BOOK, changed, last, ON_BOOKS)


@each_feature
def test_every_feature_uses_its_own_row(feature: Feature) -> None:
    columns, t = _columns_for(feature), WARMUP + 100
    make = market.bars if feature in ON_BARS else market.book
    changes = False
    for seed in range(1, 10):
        other = make(t + 1, seed, price=300.0)
        changed = {name: column.copy() for name, column in columns.items()}
        for name in feature.needs:
            changed[name][t] = other[name][t] + (seed * SECOND if name == "timestamp" else 0)
        changes |= feature.compute(changed)[t] != feature.compute(columns)[t]
    assert changes


JUMPS_THEN_CALM = [("flood", 105), ("ordinary", 46), ("jumps", 28), ("calm", 154), ("ordinary", 44)]


@example(drawn=(COUNT, 759543750, 1e6, JUMPS_THEN_CALM), start=18)
@given(drawn=any_bars, start=st.integers(0, 140))
def test_no_feature_of_bars_depends_on_where_the_segment_began(drawn: tuple[Any, ...], start: int) -> None:
    columns = market.bars(*drawn)
    _assert_equal_after_warmup(market.part(columns, start), columns, ON_BARS)


@given(drawn=any_book, start=st.integers(0, 140))
def test_no_feature_of_books_depends_on_where_the_segment_began(drawn: tuple[Any, ...], start: int) -> None:
    columns = market.book(*drawn)
    _assert_equal_after_warmup(market.part(columns, start), columns, ON_BOOKS)


@each_feature
@pytest.mark.parametrize("after", ["ordinary", "calm", "ticking", "frozen"])
@pytest.mark.parametrize("jump", [-JUMP, JUMP])
def test_the_last_bars_give_what_all_history_gives(feature: Feature, after: str, jump: float) -> None:
    """It does so even where a jump in price with a flood of volume came just before them."""
    recent = _columns_for(feature)
    if feature in ON_BARS:
        kinds = [(after, feature.warmup + 20), ("ordinary", 40)]
        recent = market.bars(feature.warmup + 60, 1, 100.0, kinds)
        before = market.scaled(market.part(BARS, 0, 300), np.exp(-jump) * 100 / BARS["close"][299], 1e12)
    else:
        recent = market.part(BOOK, 0, feature.warmup + 60)
        before = market.scaled(market.book(300, 1), np.exp(-jump), 1e12)
    _assert_equal_after_warmup(recent, market.joined(before, recent), [feature])


@each_feature
def test_the_warmup_is_no_longer_than_a_feature_needs(feature: Feature) -> None:
    columns = _columns_for(feature)
    full, last = feature.compute(columns), feature.warmup - 1
    if feature.warmup and feature.name not in EXPONENTIAL:
        starts = range(60, 160, 5)
        assert any(feature.compute(market.part(columns, start))[last] != full[start + last] for start in starts)
    assert feature.warmup <= 250


@given(drawn=any_bars)
def test_features_of_bars_are_finite(drawn: tuple[Any, ...]) -> None:
    _assert_finite(market.bars(*drawn), ON_BARS)


@given(drawn=any_book)
def test_features_of_books_are_finite(drawn: tuple[Any, ...]) -> None:
    _assert_finite(market.book(*drawn), ON_BOOKS)


@pytest.mark.parametrize("value", [0.1, 60_000.1, 1e-6])
def test_bars_that_stand_still_are_neutral(value: float) -> None:
    still = market.bars(WARMUP + 60, 0, value, [("frozen", 1)])
    for feature in ON_BARS:
        last = feature.compute(still)[-1]
        if feature.name.startswith(("day_", "week_")):
            continue
        if feature.name.startswith(("volatility_48", "parkinson", "garman", "rogers", "true_range", "bollinger_width")):
            assert last == pytest.approx(np.log(1e-6))
        else:
            assert last == pytest.approx(0.0, abs=0.01), feature.name


@given(drawn=any_bars, unit=units)
def test_features_of_bars_do_not_depend_on_units(drawn: tuple[Any, ...], unit: tuple[float, float]) -> None:
    columns = market.bars(*drawn)
    _assert_equal_after_warmup(market.scaled(columns, *unit), columns, ON_BARS)


@given(drawn=any_book, unit=units)
def test_features_of_books_do_not_depend_on_units(drawn: tuple[Any, ...], unit: tuple[float, float]) -> None:
    columns = market.book(*drawn)
    _assert_equal_after_warmup(market.scaled(columns, *unit), columns, ON_BOOKS)


class _RecordingColumns(dict[str, np.ndarray]):
    """Columns that record which of them are read."""

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        self.read.add(name)
        return super().__getitem__(name)


@each_feature
def test_a_feature_names_the_columns_that_it_reads(feature: Feature) -> None:
    columns = _RecordingColumns(_columns_for(feature))
    feature.compute(columns)
    assert columns.read <= set(feature.needs)
    levels = [name for name in feature.needs if name[:3] in ("bid", "ask")]
    assert levels or columns.read == set(feature.needs)


def test_pieces_hold_every_row_after_the_warmup_once_with_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_PIECE", 64)
    warmup = registry.longest_warmup(ON_BARS)
    whole, _ = registry.compute_features(BARS, ON_BARS)
    pieces = list(registry.compute_in_pieces(BARS, ON_BARS))
    lengths = [len(values) for _, values in pieces]
    assert [start for start, _ in pieces] == [warmup + 64 * index for index in range(len(pieces))]
    assert lengths == [64] * (len(pieces) - 1) + [(len(whole) - warmup) % 64 or 64]
    joined = np.concatenate([values for _, values in pieces])
    np.testing.assert_allclose(joined, whole[warmup:], rtol=EXACT, atol=EXACT)
    assert list(registry.compute_in_pieces(market.part(BARS, 0, warmup), ON_BARS)) == []


def test_features_are_named_once_and_documented() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)
    for feature in FEATURES:
        assert feature.doc
        assert feature.source


def test_plain_bars_have_thirty_to_forty_features() -> None:
    plain = {feature.name for feature in registry.available_features(PLAIN)}
    assert 30 <= len(plain) <= 40
    flow = {feature.name for feature in ON_BARS} - plain - {UNTRADED}
    assert {name.rpartition("_")[0] for name in flow} == {
        "taker_imbalance",
        "flow_agreement",
        "flow_impact",
        "trade_size_surprise",
        "trades_surprise",
        "traded_price_gap",
    }


def test_a_book_has_features_of_its_levels_and_of_its_mid_price_alone() -> None:
    columns = ["timestamp", "close", *file_format.level_columns(5)]
    names = {feature.name for feature in registry.available_features(columns)}
    assert {"return_1", "relative_strength_7", "day_sin", "spread", "queue_imbalance_5", "order_flow_5_60"} <= names
    assert not names & {"true_range_7", "body", "volume_surprise_48", "taker_imbalance_1", "queue_imbalance_10"}


@pytest.mark.parametrize("length", [1, WARMUP, WARMUP + 1])
def test_a_segment_is_usable_from_the_end_of_the_longest_warmup(length: int) -> None:
    values, warmup = registry.compute_features(market.part(BARS, 0, length), ON_BARS)
    assert values.shape == (length, len(ON_BARS))
    assert warmup == min(length, WARMUP)
    if length > WARMUP:
        assert np.array_equal(values[:, 3], ON_BARS[3].compute(market.part(BARS, 0, length)))


@pytest.mark.real_data
def test_recorded_bars_give_the_same_features_from_short_history(shared_data: Path) -> None:
    recorded = read_bar_file(shared_data / "binance_BTCUSDT_5m.parquet")
    opened = recorded.opened
    columns = {name: recorded.frame[name].to_numpy() for name in recorded.frame.columns[1:]} | {"timestamp": opened}
    features = registry.available_features(list(columns))
    full, warmup = registry.compute_features(columns, features)
    assert np.isfinite(full).all()
    for end in np.linspace(1000, len(opened), 40).astype(int):
        recent, _ = registry.compute_features(market.part(columns, end - warmup - 60, end), features)
        np.testing.assert_allclose(recent[-60:], full[end - 60 : end], rtol=EXACT, atol=EXACT)


@pytest.mark.real_data
def test_a_recorded_book_gives_the_same_features_from_short_history(shared_data: Path) -> None:
    frame = pd.read_parquet(shared_data / "lob_coinbase_BTCUSD_top20_1s_20180424.parquet")
    columns = {name: frame[name].to_numpy() for name in frame.columns[1:]}
    assert file_format.level_count(list(columns)) == 20
    assert find_problems(frame, SECOND) == []
    columns |= {
        "close": file_format.mid_price(columns),
        "timestamp": column_microseconds(frame["timestamp"]),
    }
    features = registry.available_features(list(columns))
    assert set(ON_BOOKS) <= set(features)
    full, warmup = registry.compute_features(columns, features)
    assert np.isfinite(full).all()
    for end in np.linspace(600, len(frame), 20).astype(int):
        recent, _ = registry.compute_features(market.part(columns, end - warmup - 60, end), features)
        np.testing.assert_allclose(recent[-60:], full[end - 60 : end], rtol=EXACT, atol=EXACT)
