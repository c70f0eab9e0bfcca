"""Nothing leaks: each property is checked on the real code, and each check is seen failing on a planted leak."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core import presets
from core.config import DataConfig, LabelConfig, SyntheticConfig
from core.data import dataset as dataset_module
from core.data import labels, market, summary
from core.data.bars import Bars
from core.data.dataset import Dataset, _fit, _inside, fit_dataset, load_dataset
from core.data.features import registry
from core.data.features.registry import Feature
from core.data.labels import BUY, HOLD, NO_LABEL, SELL
from core.data.market import SymbolData, bars_market, symbol_data
from core.data.sources import synthetic
from core.data.splits import fold_borders, main_borders
from core.errors import DataError
from core.evaluation import metrics
from core.training.trainer import Trainer

BARS = 4000
LABELS = {
    "quantile": LabelConfig(),
    "scaled": LabelConfig(volatility_scaled=True),
    "fixed": LabelConfig(kind="fixed"),
    "barrier": LabelConfig(kind="triple_barrier"),
}


def _config(label: str = "quantile", **changes: object) -> DataConfig:
    made = SyntheticConfig(bars=BARS, symbols=("AAA", "BBB"), correlation=0.5)
    start = DataConfig(synthetic=made, window=20, horizon=4, labels=LABELS[label])
    return start.model_copy(update=changes)


def _bars(config: DataConfig, gaps: int = 0, seed: int = 7) -> list[Bars]:
    assert config.synthetic is not None
    return synthetic.make_bars(config.synthetic.model_copy(update={"gaps": gaps, "seed": seed}), "5m")


def _rows(bars: Bars, config: DataConfig, chosen: Sequence[Feature]) -> SymbolData:
    return symbol_data(bars, chosen, (), config)


@pytest.fixture(autouse=True)
def few_rows_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "MIN_ROWS", 1)


def _disturbed(bars: Bars, after: int, seed: int) -> Bars:
    """The same bars up to `after`, others from then on."""
    rng = np.random.default_rng(seed)
    frame = bars.frame.copy()
    tail = slice(after + 1, None)
    count = len(frame.iloc[tail])
    factor = np.exp(rng.normal(0, 0.05, count))
    for name in ("open", "high", "low", "close"):
        frame.loc[frame.index[tail], name] = frame[name].to_numpy()[tail] * factor
    frame.loc[frame.index[tail], "volume"] *= 7.0
    frame.loc[frame.index[tail], "taker_buy_base"] *= rng.uniform(0, 7, count)
    return replace(bars, frame=frame)


def _assert_future_is_not_used(chosen: Sequence[Feature], label: str, at: int, seed: int) -> None:
    config = _config(label)
    bars = _bars(config)[0]
    before, after = (_rows(each, config, chosen) for each in (bars, _disturbed(bars, at, seed)))
    np.testing.assert_array_equal(before.features[: at + 1], after.features[: at + 1])
    known = at + 1 - config.horizon
    np.testing.assert_array_equal(before.scores[:known], after.scores[:known])
    np.testing.assert_array_equal(before.returns[:known], after.returns[:known])
    if before.labels is not None and after.labels is not None:
        np.testing.assert_array_equal(before.labels[:known], after.labels[:known])


ALL = registry.available_features([*_bars(_config())[0].frame.columns])


@pytest.mark.parametrize("label", LABELS)
@settings(max_examples=8, deadline=None)
@given(at=st.integers(300, BARS - 2), seed=st.integers(0, 1000))
def test_no_feature_and_no_label_uses_a_bar_after_its_own_reach(label: str, at: int, seed: int) -> None:
    _assert_future_is_not_used(ALL, label, at, seed)


def test_a_feature_that_peeks_one_bar_ahead_is_caught() -> None:
    peeking = Feature(
        "peeking", "tomorrow's close", "planted", 0, lambda bars: np.roll(bars["close"], -1), needs=("close",)
    )
    with pytest.raises(AssertionError):
        _assert_future_is_not_used([peeking], "quantile", 700, 0)


def test_a_label_that_reaches_one_bar_too_far_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = labels.forward_returns
    monkeypatch.setattr(market, "forward_returns", lambda close, horizon: right(close, horizon + 1))
    with pytest.raises(AssertionError):
        _assert_future_is_not_used(ALL, "quantile", 700, 0)


def _assert_nothing_after_train_is_fitted(seed: int) -> None:
    config = _config()
    bars = _bars(config)
    market = bars_market(bars, config)
    borders = main_borders(market.span, config)
    last = int(np.searchsorted(market.rows[0].timestamps, borders.train[1])) - 1
    other = bars_market([_disturbed(each, last, seed) for each in bars], config)
    before, after = fit_dataset(market, config, borders), fit_dataset(other, config, borders)
    np.testing.assert_array_equal(before.thresholds, after.thresholds)
    np.testing.assert_array_equal(before.return_scale, after.return_scale)
    np.testing.assert_array_equal(before.train, after.train)
    np.testing.assert_array_equal(before.features[before.train], after.features[after.train])
    np.testing.assert_array_equal(before.labels[before.train], after.labels[after.train])


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_nothing_is_fitted_on_rows_after_train(seed: int) -> None:
    _assert_nothing_after_train_is_fitted(seed)


def test_a_scaler_fitted_on_all_rows_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = _fit
    monkeypatch.setattr(
        dataset_module, "_fit", lambda item, train, config: right(item, np.flatnonzero(item.known), config)
    )
    with pytest.raises(AssertionError):
        _assert_nothing_after_train_is_fitted(0)


def _assert_whole(dataset: Dataset) -> None:
    """Windows and labels lie within one segment, one symbol and one split; splits do not touch."""
    splits = {"train": dataset.borders.train, "val": dataset.borders.val, "test": dataset.borders.test}
    for name, (start, stop) in splits.items():
        for row in getattr(dataset, name):
            reach = slice(row - dataset.window + 1, row + dataset.horizon + 1)
            assert reach.start >= 0
            times, owners = dataset.timestamps[reach], dataset.symbols[reach]
            assert len(times) == dataset.window + dataset.horizon
            assert (np.diff(times) == dataset.bar).all(), "a window or a label spans a gap"
            assert (owners == owners[0]).all(), "a window or a label spans two symbols"
            assert dataset.timestamps[row] >= start
            assert times[-1] < stop, "a label crosses the border of its split"
            assert dataset.labels[row] in (SELL, HOLD, BUY)
    assert dataset.borders.train[1] <= dataset.borders.val[0]
    assert dataset.borders.val[1] <= dataset.borders.test[0]
    assert np.isfinite(dataset.features).all()
    assert np.isfinite(dataset.returns).all()


@pytest.mark.parametrize("label", LABELS)
@settings(max_examples=6, deadline=None)
@given(gaps=st.integers(0, 4), seed=st.integers(0, 10_000), window=st.integers(2, 40), horizon=st.integers(1, 9))
def test_no_window_and_no_label_spans_a_gap_a_symbol_or_a_border(
    label: str, gaps: int, seed: int, window: int, horizon: int
) -> None:
    config = _config(label, window=window, horizon=horizon)
    market = bars_market(_bars(config, gaps, seed), config)
    for borders in (main_borders(market.span, config), *fold_borders(market.span, config, 3)):
        try:
            dataset = fit_dataset(market, config, borders)
        except DataError:
            assume(False)  # a fold whose train or val the gaps have eaten up
        _assert_whole(dataset)


def test_gaps_that_are_not_seen_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config()
    monkeypatch.setattr("core.data.market.segments", lambda timestamps, seconds: [slice(0, len(timestamps))])
    market = bars_market(_bars(config, gaps=3), config)
    with pytest.raises(AssertionError, match="spans a gap"):
        _assert_whole(fit_dataset(market, config, main_borders(market.span, config)))


def test_labels_that_are_not_purged_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config()
    right = _inside
    monkeypatch.setattr(dataset_module, "_inside", lambda item, border, reach: right(item, border, 0))
    market = bars_market(_bars(config), config)
    with pytest.raises(AssertionError, match="crosses the border"):
        _assert_whole(fit_dataset(market, config, main_borders(market.span, config)))


def test_folds_tile_their_span_and_none_touches_val_or_test() -> None:
    config = _config()
    market = bars_market(_bars(config), config)
    span, main = market.span, main_borders(market.span, config)
    folds = fold_borders(span, config, 5)
    assert [fold.test[1] for fold in folds[:-1]] == [fold.test[0] for fold in folds[1:]]
    assert (folds[0].test[0], folds[-1].test[1]) == (span.at(0.35), span.at(0.70))
    assert folds[-1].test[1] <= main.val[0]
    for fold in folds:
        wait = fold.test[0] - fold.val[1]
        assert wait >= max(config.horizon, config.window - 1, 0.01 * span.bars) * span.bar
        assert fold.val[0] - fold.train[1] == wait
        assert fold.train[0] == span.start


@settings(max_examples=5, deadline=None)
@given(cut=st.integers(1, 600))
def test_features_need_no_more_history_than_their_warmup(cut: int) -> None:
    config = _config()
    bars = _bars(config)[0]
    warmup = max(feature.warmup for feature in ALL)
    start = len(bars.frame) - warmup - config.window - cut
    recent = replace(bars, frame=bars.frame.iloc[start:].reset_index(drop=True))
    whole, short = (_rows(each, config, ALL) for each in (bars, recent))
    np.testing.assert_allclose(short.features[warmup:], whole.features[start + warmup :], rtol=1e-6, atol=1e-6)


def test_an_understated_warmup_is_caught() -> None:
    config = _config()
    bars = _bars(config)[0]
    hasty = [replace(feature, warmup=0) for feature in ALL]
    start = len(bars.frame) - 300
    recent = replace(bars, frame=bars.frame.iloc[start:].reset_index(drop=True))
    whole, short = (_rows(each, config, hasty) for each in (bars, recent))
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(short.features, whole.features[start:], rtol=1e-6, atol=1e-6)


def test_windows_over_two_symbols_are_caught() -> None:
    config = _config()
    market = bars_market(_bars(config), config)
    careless = replace(market.rows[1], window_ok=np.ones_like(market.rows[1].window_ok))
    spoiled = replace(market, rows=(market.rows[0], careless))
    with pytest.raises(AssertionError, match="spans"):
        _assert_whole(fit_dataset(spoiled, config, main_borders(market.span, config)))


def test_thresholds_fitted_on_all_rows_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = _fit

    def careless(item: SymbolData, train: np.ndarray, config: DataConfig) -> object:
        low, high = np.nanquantile(item.scores, config.labels.quantiles)
        return replace(right(item, train, config), thresholds=(low, high))

    monkeypatch.setattr(dataset_module, "_fit", careless)
    with pytest.raises(AssertionError):
        _assert_nothing_after_train_is_fitted(0)


def test_folds_without_an_embargo_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.data.splits.embargo", lambda span, config: 0)
    with pytest.raises(AssertionError):
        test_folds_tile_their_span_and_none_touches_val_or_test()


def test_a_barrier_that_looks_at_closes_alone_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    right = labels.triple_barrier
    monkeypatch.setattr(labels, "triple_barrier", lambda high, low, close, *rest: right(close, close, close, *rest))
    with pytest.raises(AssertionError):
        test_triple_barrier_is_the_first_touch_on_the_path()


def _direction_auc(dataset: Dataset) -> tuple[float, float]:
    """The direction_auc of a briefly trained model on val, and the half-width of its 99 % interval under no skill."""
    config = presets.load_preset("quick_experiment").training_config(size="quick", metric="macro_f1", seed=0)
    changes = {"epochs": 3, "learning_rate": 1e-3, "schedule": "constant"}
    config = config.model_copy(update={"trainer": config.trainer.model_copy(update=changes)})
    trainer = Trainer(config, dataset, torch.device("cpu"))
    last = list(trainer)[-1]
    half = (summary.provable_direction_auc(dataset, dataset.val) - 0.5) / 1.645 * 2.576
    return last.metrics["direction_auc"], half


Spoil = Callable[[Dataset], Dataset]


def _shuffled(dataset: Dataset) -> Dataset:
    rng = np.random.default_rng(0)
    return replace(dataset, labels=rng.permutation(dataset.labels.clip(0)))


@pytest.mark.parametrize(
    ("market", "spoil"),
    [
        (SyntheticConfig(bars=5000), _shuffled),
        (SyntheticConfig(bars=5000, signal=0.0), None),
        (SyntheticConfig(bars=5000, signal=0.0, variance="garch"), None),
        (SyntheticConfig(bars=5000, signal=0.0, variance="regime"), None),
    ],
    ids=["shuffled labels", "constant variance", "garch", "regimes"],
)
def test_where_there_is_nothing_to_learn_no_direction_is_found(market: SyntheticConfig, spoil: Spoil | None) -> None:
    config = DataConfig(synthetic=market)
    dataset = load_dataset(config)
    auc, half = _direction_auc(spoil(dataset) if spoil else dataset)
    assert abs(auc - 0.5) < half


def test_a_leaking_feature_would_be_found() -> None:
    dataset = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=5000, signal=0.0)))
    leaking = dataset.features.copy()
    leaking[:, 0] = dataset.returns
    auc, half = _direction_auc(replace(dataset, features=leaking))
    assert auc - 0.5 > half


def _first_touch(high: np.ndarray, low: np.ndarray, close: np.ndarray, at: int, horizon: int, distance: float) -> int:
    """Walk the path bar by bar."""
    if at + horizon >= len(close):
        return NO_LABEL
    for bar in range(at + 1, at + horizon + 1):
        up, down = high[bar] >= close[at] * np.exp(distance), low[bar] <= close[at] * np.exp(-distance)
        if up and down:
            return HOLD
        if up or down:
            return BUY if up else SELL
    return HOLD


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), horizon=st.integers(1, 12), width=st.floats(0.2, 3), length=st.integers(5, 120))
def test_triple_barrier_is_the_first_touch_on_the_path(seed: int, horizon: int, width: float, length: int) -> None:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, length)))
    high, low = close * np.exp(rng.exponential(0.005, length)), close * np.exp(-rng.exponential(0.005, length))
    span = 4
    found = labels.triple_barrier(high, low, close, horizon, span, width)
    for at in range(length):
        if at < span:
            assert found[at] == NO_LABEL
            continue
        moves = np.diff(np.log(close[at - span : at + 1]))
        distance = width * np.sqrt(np.mean(moves**2)) * np.sqrt(horizon)
        assert found[at] == _first_touch(high, low, close, at, horizon, distance), at


def test_metrics_on_a_span_come_with_what_the_span_can_prove() -> None:
    short = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=5000)))
    long = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=50_000)))
    assert summary.provable_direction_auc(short, short.test) > summary.provable_direction_auc(long, long.test) > 0.5
    rng = np.random.default_rng(0)
    luck = [
        metrics.direction_auc(long.labels[long.test], rng.dirichlet(np.ones(3), len(long.test))) for _ in range(200)
    ]
    # Forecasts that are independent from row to row wander less than overlapping labels would let real ones.
    assert np.mean(np.array(luck) > summary.provable_direction_auc(long, long.test)) <= 0.05


def test_days_are_counted_to_the_end_of_the_last_bar() -> None:
    dataset = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=288 * 20)))
    assert summary.span_days(dataset) == pytest.approx(20.0)
    assert pd.Timestamp(dataset.span[1]) - pd.Timestamp(dataset.span[0]) == pd.Timedelta(minutes=5 * (288 * 20 - 1))
