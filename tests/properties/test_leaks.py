"""Nothing leaks from the future: every property holds for the real code, and every check fails on a planted leak."""

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
from core.data.dataset import Dataset, _usable_rows, fit_dataset, fit_symbol, load_dataset
from core.data.features import registry
from core.data.features.registry import Feature
from core.data.labels import BUY, HOLD, NO_LABEL, SELL
from core.data.market import SymbolData, bars_market, symbol_data
from core.data.sources import synthetic
from core.data.splits import fold_borders, main_borders
from core.errors import DataError
from core.evaluation import metrics
from core.training.trainer import Trainer
from tests.helpers.market import without_rows

BARS = 4000
LABELS = {
    "quantile": LabelConfig(),
    "scaled": LabelConfig(volatility_scaled=True),
    "fixed": LabelConfig(kind="fixed"),
    "barrier": LabelConfig(kind="triple_barrier"),
}


def _config(label: str = "quantile", **changes: object) -> DataConfig:
    synthetic_config = SyntheticConfig(bars=BARS, symbols=("AAA", "BBB"), correlation=0.5)
    config = DataConfig(synthetic=synthetic_config, window=20, horizon=4, labels=LABELS[label])
    return config.model_copy(update=changes)


def _bars(config: DataConfig, gaps: int = 0, seed: int = 7) -> list[Bars]:
    assert config.synthetic is not None
    return synthetic.make_bars(config.synthetic.model_copy(update={"gaps": gaps, "seed": seed}), "5m")


def _rows(bars: Bars, config: DataConfig, features: Sequence[Feature]) -> SymbolData:
    return symbol_data(bars, features, (), config)


@pytest.fixture(autouse=True)
def few_rows_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_module, "MIN_ROWS", 1)


def _disturbed(bars: Bars, after: int, seed: int) -> Bars:
    """Change the bars after row `after`."""
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


def _assert_future_is_not_used(features: Sequence[Feature], label: str, at: int, seed: int, gaps: int = 0) -> None:
    config = _config(label)
    bars = _bars(config, gaps)[0]
    before, after = (_rows(variant, config, features) for variant in (bars, _disturbed(bars, at, seed)))
    np.testing.assert_array_equal(before.features[: at + 1], after.features[: at + 1])
    known = at + 1 - config.horizon
    np.testing.assert_array_equal(before.scores[:known], after.scores[:known])
    np.testing.assert_array_equal(before.returns[:known], after.returns[:known])
    if before.labels is not None and after.labels is not None:
        np.testing.assert_array_equal(before.labels[:known], after.labels[:known])


ALL = registry.available_features([*_bars(_config())[0].frame.columns])


@pytest.mark.parametrize("label", LABELS)
@settings(max_examples=8, deadline=None)
@given(at=st.integers(300, BARS - 400), seed=st.integers(0, 1000), gaps=st.sampled_from([0, 6]))
def test_no_feature_uses_a_later_bar_and_no_label_one_beyond_its_horizon(
    label: str, at: int, seed: int, gaps: int
) -> None:
    _assert_future_is_not_used(ALL, label, at, seed, gaps)


def test_a_feature_that_peeks_one_bar_ahead_is_caught() -> None:
    peeking = Feature(
        "peeking", "tomorrow's close", "planted", 0, lambda bars: np.roll(bars["close"], -1), needs=("close",)
    )
    with pytest.raises(AssertionError):
        _assert_future_is_not_used([peeking], "quantile", 700, 0)


def test_a_label_that_reaches_one_bar_too_far_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    correct = labels.forward_returns
    monkeypatch.setattr(market, "forward_returns", lambda close, horizon: correct(close, horizon + 1))
    with pytest.raises(AssertionError):
        _assert_future_is_not_used(ALL, "quantile", 700, 0)


def _assert_nothing_after_train_is_fitted(seed: int) -> None:
    config = _config()
    bars = _bars(config)
    market = bars_market(bars, config)
    borders = main_borders(market.span, config)
    last = int(np.searchsorted(market.symbols[0].timestamps, borders.train[1])) - 1
    disturbed = bars_market([_disturbed(symbol_bars, last, seed) for symbol_bars in bars], config)
    before, after = fit_dataset(market, config, borders), fit_dataset(disturbed, config, borders)
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
    monkeypatch.setattr(
        dataset_module,
        "fit_symbol",
        lambda data, train, config: fit_symbol(data, np.flatnonzero(data.usable), config),
    )
    with pytest.raises(AssertionError):
        _assert_nothing_after_train_is_fitted(0)


def _assert_whole(dataset: Dataset) -> None:
    """Check that windows and labels lie within one segment, symbol and split, and that splits do not touch."""
    splits = {"train": dataset.borders.train, "val": dataset.borders.val, "test": dataset.borders.test}
    for name, (start, stop) in splits.items():
        for row in getattr(dataset, name):
            reach = slice(row - dataset.window + 1, row + dataset.horizon + 1)
            assert reach.start >= 0
            times, symbols = dataset.timestamps[reach], dataset.symbols[reach]
            assert len(times) == dataset.window + dataset.horizon
            assert (np.diff(times) == dataset.bar).all(), "a window or a label spans a gap"
            assert (symbols == symbols[0]).all(), "a window or a label spans two symbols"
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
            assume(False)  # gaps leave too few rows in train or val of this fold
        _assert_whole(dataset)


def test_ignored_gaps_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config()
    no_gaps = np.arange(BARS) == 0
    monkeypatch.setattr("core.data.market.find_breaks", lambda timestamps, bar, reopenings: no_gaps[: len(timestamps)])
    market = bars_market(_bars(config, gaps=3), config)
    with pytest.raises(AssertionError, match="spans a gap"):
        _assert_whole(fit_dataset(market, config, main_borders(market.span, config)))


def test_labels_across_gaps_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config()
    monkeypatch.setattr("core.data.market.find_gaps", lambda timestamps, bar: np.zeros(len(timestamps), dtype=bool))
    market = bars_market([without_rows(bars, np.array([1000])) for bars in _bars(config)], config)
    with pytest.raises(AssertionError, match="spans a gap"):
        _assert_whole(fit_dataset(market, config, main_borders(market.span, config)))


def test_labels_that_are_not_purged_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config()
    monkeypatch.setattr(dataset_module, "_usable_rows", lambda data, border, reach: _usable_rows(data, border, 0))
    market = bars_market(_bars(config), config)
    with pytest.raises(AssertionError, match="crosses the border"):
        _assert_whole(fit_dataset(market, config, main_borders(market.span, config)))


def test_folds_tile_their_span_and_none_touches_val_or_test() -> None:
    config = _config()
    market = bars_market(_bars(config), config)
    span, main = market.span, main_borders(market.span, config)
    folds = fold_borders(span, config, 5)
    assert [fold.test[1] for fold in folds[:-1]] == [fold.test[0] for fold in folds[1:]]
    assert (folds[0].test[0], folds[-1].test[1]) == (span.border_at(0.35), span.border_at(0.70))
    assert folds[-1].test[1] <= main.val[0]
    for fold in folds:
        gap = fold.test[0] - fold.val[1]
        assert gap >= max(config.horizon, config.window - 1, 0.01 * span.bars) * span.bar
        assert fold.val[0] - fold.train[1] == gap
        assert fold.train[0] == span.start


@settings(max_examples=5, deadline=None)
@given(cut=st.integers(1, 600))
def test_features_need_no_more_history_than_their_warmup(cut: int) -> None:
    config = _config()
    bars = _bars(config)[0]
    warmup = max(feature.warmup for feature in ALL)
    start = len(bars.frame) - warmup - config.window - cut
    recent = replace(bars, frame=bars.frame.iloc[start:].reset_index(drop=True))
    whole, short = (_rows(variant, config, ALL) for variant in (bars, recent))
    np.testing.assert_allclose(short.features[warmup:], whole.features[start + warmup :], rtol=1e-6, atol=1e-6)


def test_an_understated_warmup_is_caught() -> None:
    config = _config()
    bars = _bars(config)[0]
    without_warmup = [replace(feature, warmup=0) for feature in ALL]
    start = len(bars.frame) - 300
    recent = replace(bars, frame=bars.frame.iloc[start:].reset_index(drop=True))
    whole, short = (_rows(variant, config, without_warmup) for variant in (bars, recent))
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(short.features, whole.features[start:], rtol=1e-6, atol=1e-6)


def test_windows_over_two_symbols_are_caught() -> None:
    config = _config()
    market = bars_market(_bars(config), config)
    first, second = market.symbols
    leaking = replace(second, window_ok=np.ones_like(second.window_ok))
    spoiled = replace(market, symbols=(first, leaking))
    with pytest.raises(AssertionError, match="spans"):
        _assert_whole(fit_dataset(spoiled, config, main_borders(market.span, config)))


def test_thresholds_fitted_on_all_rows_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit_on_all_rows(data: SymbolData, train: np.ndarray, config: DataConfig) -> object:
        low, high = np.nanquantile(data.scores, config.labels.quantiles)
        return replace(fit_symbol(data, train, config), thresholds=(low, high))

    monkeypatch.setattr(dataset_module, "fit_symbol", fit_on_all_rows)
    with pytest.raises(AssertionError):
        _assert_nothing_after_train_is_fitted(0)


def test_folds_without_an_embargo_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.data.splits.embargo", lambda span, config: 0)
    with pytest.raises(AssertionError):
        test_folds_tile_their_span_and_none_touches_val_or_test()


def test_barriers_that_only_closes_touch_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    correct = labels.triple_barrier
    monkeypatch.setattr(
        labels, "triple_barrier", lambda high, low, close, *settings: correct(close, close, close, *settings)
    )
    with pytest.raises(AssertionError):
        test_triple_barrier_is_the_first_touch_on_the_path()


def _direction_auc(dataset: Dataset) -> tuple[float, float]:
    """Train briefly, and return direction_auc on val and half the width of its 99 % interval without skill."""
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


@pytest.mark.costly
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
def test_nothing_is_learned_where_there_is_nothing_to_learn(market: SyntheticConfig, spoil: Spoil | None) -> None:
    config = DataConfig(synthetic=market)
    dataset = load_dataset(config)
    auc, half = _direction_auc(spoil(dataset) if spoil else dataset)
    assert abs(auc - 0.5) < half


@pytest.mark.costly
def test_a_leaking_feature_is_caught() -> None:
    dataset = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=5000, signal=0.0)))
    leaking = dataset.features.copy()
    leaking[:, 0] = dataset.returns
    auc, half = _direction_auc(replace(dataset, features=leaking))
    assert auc - 0.5 > half


def _first_touch(high: np.ndarray, low: np.ndarray, close: np.ndarray, at: int, horizon: int, distance: float) -> int:
    """Label one bar by following the path bar by bar."""
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
    computed = labels.triple_barrier(high, low, close, horizon, span, width)
    for at in range(length):
        if at < span:
            assert computed[at] == NO_LABEL
            continue
        moves = np.diff(np.log(close[at - span : at + 1]))
        distance = width * np.sqrt(np.mean(moves**2)) * np.sqrt(horizon)
        assert computed[at] == _first_touch(high, low, close, at, horizon, distance), at


def test_a_longer_span_proves_a_smaller_auc_which_luck_rarely_exceeds() -> None:
    short = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=5000)))
    long = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=50_000)))
    assert summary.provable_direction_auc(short, short.test) > summary.provable_direction_auc(long, long.test) > 0.5
    rng = np.random.default_rng(0)
    aucs_without_skill = [
        metrics.direction_auc(long.labels[long.test], rng.dirichlet(np.ones(3), len(long.test))) for _ in range(200)
    ]
    # The AUC of forecasts that are independent from row to row varies less than that of real ones.
    assert np.mean(np.array(aucs_without_skill) > summary.provable_direction_auc(long, long.test)) <= 0.05


def test_days_are_counted_to_the_end_of_the_last_bar() -> None:
    dataset = load_dataset(DataConfig(synthetic=SyntheticConfig(bars=288 * 20)))
    assert summary.span_days(dataset) == pytest.approx(20.0)
    assert pd.Timestamp(dataset.span[1]) - pd.Timestamp(dataset.span[0]) == pd.Timedelta(minutes=5 * (288 * 20 - 1))
