from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import DataConfig
from core.data.bars import Bars
from core.data.dataset import CLIP, Dataset, _fit_scaler, load_dataset, scale_features
from core.data.features.registry import FEATURES
from core.data.labels import BUY, NO_LABEL, SELL
from core.data.market import BRIDGED_BARS
from core.data.sources.reader import read_bars
from core.errors import ConfigError, DataError
from tests.helpers.market import HORIZON, WINDOW, market_config, prepare, random_bars, without_rows

SPLITS = ("train", "val", "test")
WARMUP = max(feature.warmup for feature in FEATURES)


@pytest.fixture(scope="module")
def two() -> Dataset:
    """Two symbols, of which one has a gap and the other starts later."""
    first, second = read_bars(market_config(symbols=("AAA", "BBB")))
    return prepare(
        [without_rows(first, np.arange(1000, 1100)), without_rows(second, np.arange(30))],
        market_config(symbols=("AAA", "BBB")),
    )


def _rows(dataset: Dataset, name: str) -> np.ndarray:
    return np.asarray(getattr(dataset, name))


def _check_windows_and_labels(dataset: Dataset) -> None:
    """Check that every window, with its label, lies in consecutive bars of one symbol and split.

    Its warm-up may reach across short gaps alone.
    """
    for name in SPLITS:
        rows = _rows(dataset, name)
        start, stop = getattr(dataset.borders, name)
        assert (dataset.timestamps[rows] >= start).all()
        assert (dataset.timestamps[rows + dataset.horizon] < stop).all()
        reach = np.arange(-(dataset.window - 1) - WARMUP, dataset.horizon + 1)
        spanned = rows[:, None] + reach
        times = dataset.timestamps[spanned]
        steps = np.diff(times, axis=1)
        assert (steps[:, WARMUP:] == dataset.bar).all()
        is_needed = times[:, 1:] > times[:, WARMUP, None] - WARMUP * dataset.bar
        assert (steps[is_needed] <= (BRIDGED_BARS + 1) * dataset.bar).all()
        assert (dataset.symbols[spanned] == dataset.symbols[rows][:, None]).all()


def test_windows_and_labels_stay_in_their_segment_symbol_and_split(two: Dataset) -> None:
    _check_windows_and_labels(two)


@settings(max_examples=25)
@given(gaps=st.lists(st.tuples(st.integers(1, 11_900), st.integers(1, 40)), max_size=4))
def test_no_window_spans_a_gap_wherever_it_lies(gaps: list[tuple[int, int]]) -> None:
    dropped = np.unique([row for start, length in gaps for row in range(start, start + length)]).astype(int)
    bars = without_rows(random_bars(12_000), dropped)
    _check_windows_and_labels(prepare([bars], market_config()))


def test_only_purge_and_embargo_drop_usable_rows() -> None:
    dataset = prepare([random_bars(5000)], market_config())
    embargo = 50  # 1 % of the span
    expected = {
        "train": np.arange(WARMUP + WINDOW - 1, 3500 - HORIZON),
        "val": np.arange(3500 + embargo, 4250 - HORIZON),
        "test": np.arange(4250 + embargo, 5000 - HORIZON),
    }
    for name in SPLITS:
        assert np.array_equal(_rows(dataset, name), expected[name])


def test_all_symbols_are_split_at_the_same_instants(two: Dataset) -> None:
    for name in SPLITS:
        rows = _rows(two, name)
        ends = [two.timestamps[rows[two.symbols[rows] == symbol]].max() for symbol in range(2)]
        assert ends[0] == ends[1]
    for name in ("val", "test"):
        rows = _rows(two, name)
        starts = [two.timestamps[rows[two.symbols[rows] == symbol]].min() for symbol in range(2)]
        assert starts[0] == starts[1] == getattr(two.borders, name)[0]


def test_no_label_of_one_split_reaches_the_next(two: Dataset) -> None:
    for before, after in (("train", "val"), ("val", "test")):
        rows = _rows(two, before)
        last_bar = two.timestamps[rows] + two.horizon * two.bar
        assert last_bar.max() < getattr(two.borders, before)[1] < two.timestamps[_rows(two, after)].min()


def _changed_after(bars: Bars, instant: int) -> Bars:
    """Change prices and volumes from an instant on, in microseconds since 1970."""
    rng = np.random.default_rng(9)
    frame = bars.frame.copy()
    late = bars.opened >= instant
    prices = frame.columns[1:5]
    frame.loc[late, prices] = frame.loc[late, prices].mul(rng.uniform(0.5, 2, late.sum()), axis=0)
    frame.loc[late, "volume"] *= 50
    return replace(bars, frame=frame)


def test_bars_after_train_change_nothing_that_is_fitted_or_trained_on() -> None:
    config = market_config(symbols=("AAA", "BBB"))
    original = read_bars(config)
    before = prepare(original, config)
    border = before.borders.train[1]
    after = prepare([_changed_after(bars, border) for bars in original], config)
    assert not np.array_equal(before.features, after.features)
    assert np.array_equal(before.thresholds, after.thresholds)
    assert np.array_equal(before.return_scale, after.return_scale)
    assert np.array_equal(before.train, after.train)
    early = before.timestamps < border
    assert np.array_equal(before.features[early], after.features[early])
    assert np.array_equal(before.labels[before.train], after.labels[before.train])
    assert np.array_equal(before.returns[before.train], after.returns[before.train])


def test_features_are_scaled_by_median_and_quartiles_of_each_symbols_train_rows(two: Dataset) -> None:
    for symbol in range(2):
        train = two.train[two.symbols[two.train] == symbol]
        low, middle, high = np.quantile(two.features[train].astype(float), (0.25, 0.5, 0.75), axis=0)
        np.testing.assert_allclose(middle, 0, atol=1e-6)
        np.testing.assert_allclose(high - low, 1, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 5, 9, 30])
def test_scaling_in_blocks_changes_no_bit(count: int) -> None:
    rng = np.random.default_rng(count)
    features = rng.standard_normal((40_000, count)) * np.exp(5 * rng.standard_normal(count))
    features[:, ::3] *= rng.random((len(features), 1)) < 0.01  # the range is nothing: the deviation takes its place
    features[:, 4::5] = 7.0
    train = np.arange(3, 30_000, 2)
    center, width = _fit_scaler(features, train)
    low, middle, high = np.quantile(features[train], (0.25, 0.5, 0.75), axis=0)
    deviation = features[train].std(axis=0)
    expected = np.where(high - low < 0.1 * deviation, deviation, high - low)
    expected[4::5] = 1.0
    np.testing.assert_array_equal(center, middle)
    np.testing.assert_array_equal(width, expected)
    scaled = scale_features(features, center, width)
    np.testing.assert_array_equal(scaled, np.clip((features - middle) / expected, -CLIP, CLIP).astype(np.float32))
    assert scaled.dtype == np.float32


def test_scaling_needs_little_memory_beside_its_result() -> None:
    features = np.random.default_rng(0).standard_normal((100_000, 40))
    train = np.arange(70_000)

    def peak(function: Callable[[], object]) -> int:
        tracemalloc.start()
        try:
            function()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(lambda: _fit_scaler(features, train)) < 0.4 * features.nbytes
    result = features.nbytes / 2
    assert peak(lambda: scale_features(features, features[0], np.ones(40))) < result + 0.4 * features.nbytes


def test_features_of_an_extreme_bar_are_clipped() -> None:
    bars = random_bars(4000)
    frame = bars.frame.copy()
    frame.loc[3000, ["high", "close"]] *= 100
    dataset = prepare([replace(bars, frame=frame)], market_config())
    assert np.abs(dataset.features).max() == CLIP


def test_labels_have_the_configured_shares_on_the_train_rows_of_each_symbol(two: Dataset) -> None:
    for symbol in range(2):
        labels = two.labels[two.train[two.symbols[two.train] == symbol]]
        np.testing.assert_allclose(np.bincount(labels) / len(labels), [0.25, 0.5, 0.25], atol=0.001)


def test_labels_agree_with_returns(two: Dataset) -> None:
    for symbol in range(2):
        rows = np.flatnonzero((two.symbols == symbol) & (two.labels != NO_LABEL))
        low, high = two.thresholds[symbol]
        returns = two.returns[rows] * two.return_scale[symbol]
        assert (returns[two.labels[rows] == SELL] < low + 1e-9).all()
        assert (returns[two.labels[rows] == BUY] > high - 1e-9).all()


def test_the_future_is_unknown_at_the_end_of_each_segment() -> None:
    dataset = prepare([without_rows(random_bars(5000), np.arange(2000, 2010))], market_config())
    unknown = np.flatnonzero(dataset.labels == NO_LABEL)
    assert unknown.tolist() == [1997, 1998, 1999, 4987, 4988, 4989]
    assert (dataset.returns[unknown] == 0).all()


def test_forward_returns_are_in_units_of_the_interquartile_range_on_train(two: Dataset) -> None:
    for symbol in range(2):
        train = two.train[two.symbols[two.train] == symbol]
        low, high = np.quantile(two.returns[train].astype(float), (0.25, 0.75))
        assert high - low == pytest.approx(1, abs=1e-5)


def test_nothing_a_training_reads_is_missing_or_unlabelled(two: Dataset) -> None:
    assert np.isfinite(two.features).all()
    assert np.isfinite(two.returns).all()
    for name in SPLITS:
        assert set(np.unique(two.labels[_rows(two, name)])) == {0, 1, 2}


def test_arrays_have_the_documented_types_and_shapes(two: Dataset) -> None:
    count = len(two.timestamps)
    assert (two.features.dtype, two.features.shape) == (np.float32, (count, len(two.feature_names)))
    assert (two.labels.dtype, two.labels.shape) == (np.int8, (count,))
    assert (two.returns.dtype, two.returns.shape) == (np.float32, (count,))
    assert (two.timestamps.dtype, two.symbols.dtype) == (np.int64, np.int16)
    assert two.thresholds.shape == (2, 2)
    assert two.return_scale.shape == (2,)
    assert {_rows(two, name).dtype for name in SPLITS} == {np.dtype(np.int64)}


def test_a_feature_that_one_symbol_lacks_is_left_out() -> None:
    with_flow = random_bars(4000)
    without = random_bars(4000, seed=1, symbol="ETHUSDT")
    without = replace(without, frame=without.frame.drop(columns="taker_buy_base"))
    assert not any("taker" in name for name in prepare([with_flow, without], market_config()).feature_names)
    assert any("taker" in name for name in prepare([with_flow], market_config()).feature_names)


def test_without_test_nothing_of_the_test_span_is_left(two: Dataset) -> None:
    visible = two.without_test()
    assert visible.timestamps.max() < two.borders.val[1]
    assert len(visible.test) == 0
    # Labels and returns that look across the border would reveal prices of test.
    late = visible.timestamps + visible.horizon * visible.bar >= two.borders.val[1]
    assert (visible.labels[late] == NO_LABEL).all()
    assert (visible.returns[late] == 0).all()


def _windows(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    return dataset.features[rows[:, None] + np.arange(1 - dataset.window, 1)]


@pytest.mark.parametrize("name", ["train", "val"])
def test_without_test_the_other_windows_are_the_same(two: Dataset, name: str) -> None:
    visible = two.without_test()
    before, after = _rows(two, name), _rows(visible, name)
    assert np.array_equal(_windows(two, before), _windows(visible, after))
    for array in ("labels", "returns", "timestamps", "symbols"):
        assert np.array_equal(getattr(two, array)[before], getattr(visible, array)[after])


def test_without_test_the_description_is_the_same(two: Dataset) -> None:
    visible = two.without_test()
    described = {field.name for field in fields(Dataset)} - {
        *("features", "labels", "returns", "timestamps", "symbols", "thresholds", "return_scale"),
        *("trade_returns", "log_prices", "center", "scale"),
        *SPLITS,
    }
    assert all(getattr(visible, name) == getattr(two, name) for name in described)


def _with_column(values: np.ndarray, horizon: int) -> Dataset:
    """A dataset whose bars have a column that the settings name as a feature, `[T]`."""
    bars = random_bars(5000)
    bars = replace(bars, frame=bars.frame.assign(signal=values), named=("signal",))
    return prepare([bars], market_config().model_copy(update={"features": ("signal",), "horizon": horizon}))


@pytest.mark.parametrize("horizon", [1, 3, 6, 48])
def test_a_named_feature_may_know_no_bar_of_the_horizon_however_long_it_is(horizon: int) -> None:
    move = np.diff(np.log(random_bars(5000).frame["close"].to_numpy()), prepend=np.log(100.0))
    for bars_ahead in {1, horizon}:
        with pytest.raises(DataError, match="Feature signal of BTCUSDT seems to look into the future"):
            _with_column(np.roll(move, -bars_ahead), horizon)
    # The move up to the bar itself is known when it closes.
    assert _with_column(move, horizon).feature_names[-1] == "signal"


@pytest.mark.parametrize("named", [(), ("funding",)])
def test_an_exception_that_matches_no_named_feature_is_refused(named: tuple[str, ...]) -> None:
    bars = random_bars(6000)
    bars = replace(bars, frame=bars.frame.assign(funding=np.sin(np.arange(6000))), named=named)
    config = market_config().model_copy(update={"features": named, "allow_lookahead": ("fund*", "fundng")})
    pattern = "fundng" if named else r"fund\*"
    with pytest.raises(ConfigError, match=rf"^allow_lookahead: {pattern} matches no named feature\. Leave it out"):
        prepare([bars], config)


def test_a_dataset_knows_its_settings_and_how_many_rows_each_symbol_has(two: Dataset) -> None:
    assert two.config == two.without_test().config == market_config(symbols=("AAA", "BBB"))
    counts = two.row_counts()
    assert {name: sum(parts) for name, parts in counts.items()} == {name: len(_rows(two, name)) for name in SPLITS}
    assert counts["train"][0] < counts["train"][1]  # the first symbol has a gap


def test_a_batch_must_fit_the_train_rows(dataset: Dataset) -> None:
    dataset.check_batch_size(len(dataset.train))
    with pytest.raises(ConfigError, match=f"larger than the {len(dataset.train)} train windows"):
        dataset.check_batch_size(len(dataset.train) + 1)


def test_the_same_config_loads_the_same_dataset() -> None:
    first, second = load_dataset(market_config()), load_dataset(market_config())
    assert first.fingerprint == second.fingerprint
    for field in fields(Dataset):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name))


@pytest.mark.real_data
def test_recorded_bars_make_a_sound_dataset(shared_data: Path) -> None:
    config = DataConfig(symbols=("BTCUSDT", "ETHUSDT"), store=shared_data, interval="15m", days=60)
    dataset = load_dataset(config)
    _check_windows_and_labels(dataset)
    assert np.isfinite(dataset.features).all()
    labels = dataset.labels[dataset.train]
    np.testing.assert_allclose(np.bincount(labels) / len(labels), [0.25, 0.5, 0.25], atol=0.001)
    # No feature correlates with the future as strongly as one that knows it.
    ranks = np.argsort(np.argsort(dataset.returns[dataset.train]))
    for column in dataset.features[dataset.train].T:
        assert abs(np.corrcoef(np.argsort(np.argsort(column)), ranks)[0, 1]) < 0.3


def test_without_test_no_trade_ends_at_a_price_of_test(two: Dataset) -> None:
    visible = two.without_test()
    across = visible.timestamps + (visible.horizon + 1) * visible.bar >= visible.borders.val[1]
    assert across[visible.val].any(), "the label of the last val row ends just before the border, its trade on it"
    assert np.isnan(visible.trade_returns[across]).all()
    kept = two.timestamps < two.borders.val[1]
    np.testing.assert_array_equal(visible.trade_returns[~across], two.trade_returns[kept][~across])
