from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.market import bars as bars_module
from core.market import features
from core.market.bars import Bars
from core.market.features import FEATURES, Feature
from tests.core.samples import random_bars

WARMUP = max(feature.warmup for feature in FEATURES)
by_name = pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)


def _columns(bars: Bars) -> dict[str, np.ndarray]:
    frame = bars.frame
    seconds = bars_module.microseconds(frame["timestamp"]) // 1_000_000
    return {name: frame[name].to_numpy() for name in frame.columns[1:]} | {"seconds": seconds}


BARS = _columns(random_bars(200))


def _part(start: int, stop: int) -> dict[str, np.ndarray]:
    return {name: column[start:stop] for name, column in BARS.items()}


@given(last=st.integers(WARMUP, 198), seed=st.integers(0, 1000))
def test_no_feature_sees_bars_after_its_own(last: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    changed = {name: column.astype(float) for name, column in BARS.items()}
    for column in changed.values():
        column[last + 1 :] *= rng.uniform(0.1, 10, 199 - last)
    before, _ = features.compute(BARS, FEATURES)
    after, _ = features.compute(changed, FEATURES)
    assert np.array_equal(before[: last + 1], after[: last + 1])
    assert not np.array_equal(before[last + 1 :], after[last + 1 :])


@given(start=st.integers(0, 150), length=st.integers(WARMUP + 1, 200))
def test_where_the_history_began_does_not_matter(start: int, length: int) -> None:
    full, warmup = features.compute(BARS, FEATURES)
    part, _ = features.compute(_part(start, start + length), FEATURES)
    # To the last bit: no running sum carries the past along.
    assert np.array_equal(part[warmup:], full[start + warmup : start + length])


@by_name
def test_the_declared_warmup_is_exactly_what_a_feature_needs(feature: Feature) -> None:
    full = feature.compute(BARS)
    part = feature.compute(_part(100, 200))
    assert np.array_equal(part[feature.warmup :], full[100 + feature.warmup :])
    if feature.warmup:
        assert part[feature.warmup - 1] != full[100 + feature.warmup - 1]


@by_name
def test_every_value_is_finite(feature: Feature) -> None:
    calm = {name: np.full(100, value) for name, value in [("open", 5.0), ("high", 5.0), ("low", 5.0), ("close", 5.0)]}
    silent = calm | {"volume": np.zeros(100), "taker_buy_base": np.zeros(100), "seconds": np.arange(100) * 300}
    for bars in (BARS, silent):
        values = feature.compute(bars)
        assert values.shape == bars["close"].shape
        assert np.isfinite(values).all()


def _expected(name: str, t: int) -> float:
    """Each feature at bar t, written out as its documentation says it."""
    o, h, low, c, v = (BARS[key] for key in ("open", "high", "low", "close", "volume"))
    kind, _, count = name.rpartition("_")
    n = int(count) if count.isdigit() else 0
    past = range(t - n + 1, t + 1)
    taker = 2 * BARS["taker_buy_base"] / v - 1
    day = 2 * np.pi * (BARS["seconds"][t] % 86_400) / 86_400
    written = {
        "return": lambda: np.log(c[t] / c[t - n]),
        "volatility": lambda: np.log(np.sqrt(np.mean([np.log(c[i] / c[i - 1]) ** 2 for i in past])) + 1e-6),
        "parkinson": lambda: np.log(
            np.sqrt(np.mean([np.log(h[i] / low[i]) ** 2 for i in past]) / (4 * np.log(2))) + 1e-6
        ),
        "mean_gap": lambda: np.log(c[t] / np.mean([c[i] for i in past])),
        "volume_surprise": lambda: np.log(1 + v[t]) - np.mean([np.log(1 + v[i]) for i in past]),
        "taker_imbalance": lambda: np.mean([taker[i] for i in past]),
        "close_in": lambda: (2 * c[t] - h[t] - low[t]) / (h[t] - low[t]),
        "day": lambda: {"sin": np.sin, "cos": np.cos}[count](day),
    }
    assert o[t] > 0
    return float(written[kind]())


@by_name
def test_a_feature_is_what_its_formula_says(feature: Feature) -> None:
    for t in (WARMUP, 133):
        assert feature.compute(BARS)[t] == pytest.approx(_expected(feature.name, t), rel=1e-9)


def test_features_are_named_once_and_documented() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)
    for feature in FEATURES:
        assert feature.doc
        assert feature.source


def test_a_feature_whose_column_is_missing_is_left_out() -> None:
    plain = features.available(["open", "high", "low", "close", "volume"])
    assert {feature.name for feature in FEATURES} - {feature.name for feature in plain} == {
        "taker_imbalance_1",
        "taker_imbalance_4",
        "taker_imbalance_12",
    }
    assert features.available(list(BARS)) == list(FEATURES)


@pytest.mark.parametrize("length", [1, WARMUP, WARMUP + 1])
def test_a_segment_is_usable_from_the_end_of_the_longest_warmup(length: int) -> None:
    values, warmup = features.compute(_part(0, length), FEATURES)
    assert values.shape == (length, len(FEATURES))
    assert warmup == min(length, WARMUP)


@pytest.mark.real_data
def test_recorded_bars_give_the_same_features_from_short_history(shared_data: Path) -> None:
    bars = _columns(bars_module.read(shared_data / "binance_BTCUSDT_1h.parquet"))
    chosen = features.available(list(bars))
    full, warmup = features.compute(bars, chosen)
    assert np.isfinite(full).all()
    recent, _ = features.compute({name: column[-warmup - 60 :] for name, column in bars.items()}, chosen)
    assert np.array_equal(recent[-60:], full[-60:])
