"""From bars to a dataset: features, labels, splits, scaling. Windows are never materialised.

Shapes: T rows (all symbols one after the other), F features, S symbols, L bars a window, h horizon.

What is fitted (scaler, label thresholds, return scale) is fitted on train rows alone, per symbol.
No window or label crosses a gap, a symbol or the border of a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.preprocessing import RobustScaler

from core.config import DataConfig
from core.errors import ConfigError, DataError
from core.market import bars as bars_module
from core.market import features, labels, synthetic
from core.market.bars import Bars

LEAST_ROWS = 500
"""Fewest usable rows of val or test from which a figure means anything."""
CLIP = 10.0
"""Scaled features are clipped to this many interquartile ranges."""
EMBARGO_SHARE = 0.01


@dataclass(frozen=True)
class Borders:
    """The instants, in epoch microseconds, at which every symbol is split.

    A label at t lies in a split if t >= start and its last bar t+h opens before stop.
    """

    train: tuple[int, int]
    val: tuple[int, int]
    test: tuple[int, int]


@dataclass(frozen=True)
class Dataset:
    """All that a training reads. Arrays are shared, never changed.

    Attributes:
        features: float32 `[T, F]`, scaled.
        labels: int8 `[T]`; NO_LABEL (-1) where the future is unknown.
        returns: float32 `[T]`, forward log return over the symbol's robust train scale; 0 where unknown.
        timestamps: int64 `[T]`, bar openings in epoch microseconds.
        symbols: int16 `[T]`, index into `symbol_names`.
        train, val, test: int64 `[N]`, rows at which a usable window ends.
        thresholds: float64 `[S, 2]`, label borders in log return.
        return_scale: float64 `[S]`.
        window: L.
        horizon: h.
        bar: length of a bar in microseconds.
        borders: the instants of the splits.
        fingerprint: SHA-256 of the bars.
        span: first and last bar opening, ISO 8601.
    """

    features: np.ndarray
    labels: np.ndarray
    returns: np.ndarray
    timestamps: np.ndarray
    symbols: np.ndarray
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    thresholds: np.ndarray
    return_scale: np.ndarray
    feature_names: tuple[str, ...]
    symbol_names: tuple[str, ...]
    window: int
    horizon: int
    bar: int
    borders: Borders
    fingerprint: str
    span: tuple[str, str]
    is_synthetic: bool

    def without_test(self) -> Dataset:
        """The same dataset with no row of the test span in it: what trials may see."""
        test_start = self.borders.val[1]
        keep = self.timestamps < test_start
        new_row = np.cumsum(keep) - 1
        # The last labels before the border look across it.
        known = self.timestamps[keep] + self.horizon * self.bar < test_start
        return replace(
            self,
            features=self.features[keep],
            labels=np.where(known, self.labels[keep], labels.NO_LABEL).astype(np.int8),
            returns=np.where(known, self.returns[keep], 0).astype(np.float32),
            timestamps=self.timestamps[keep],
            symbols=self.symbols[keep],
            train=new_row[self.train],
            val=new_row[self.val],
            test=self.test[:0],
        )

    def check_batch_size(self, batch_size: int) -> None:
        """Refuse a batch that the train rows cannot fill.

        Raises:
            ConfigError: they cannot.
        """
        if batch_size > len(self.train):
            raise ConfigError(
                f"A batch of {batch_size} is larger than the {len(self.train)} train windows",
                "Use a smaller batch size, or more days",
            )


def read_bars(config: DataConfig) -> list[Bars]:
    """Read, check and cut the bars that a config names.

    Raises:
        DataError: they are missing, damaged or too few.
    """
    if config.synthetic is not None:
        all_bars = synthetic.make(config.synthetic, config.interval)
    else:
        paths = config.files or bars_module.find_in_store(
            config.store, config.symbols, config.interval, config.exchange
        )
        all_bars = [bars_module.read(path) for path in paths]
    return bars_module.common_span(all_bars, config.days, config.until)


def load(config: DataConfig) -> Dataset:
    """Read the bars that a config names and prepare them.

    Raises:
        DataError: they are missing, damaged or too few.
    """
    return prepare(read_bars(config), config)


def split_borders(start: int, stop: int, bar: int, config: DataConfig) -> Borders:
    """Cut a span of time into train, val and test.

    Args:
        start: opening of the first bar, in epoch microseconds.
        stop: end of the last bar, likewise.
        bar: length of a bar in microseconds.
        config: shares, window and horizon.
    """
    bars = (stop - start) // bar
    embargo = max(config.horizon, config.window - 1, int(np.ceil(EMBARGO_SHARE * bars))) * bar
    val_start = start + round(bars * (1 - config.val_fraction - config.test_fraction)) * bar
    test_start = start + round(bars * (1 - config.test_fraction)) * bar
    return Borders((start, val_start), (val_start + embargo, test_start), (test_start + embargo, stop))


@dataclass(frozen=True)
class _Symbol:
    """Features and forward returns of one symbol, before anything is fitted."""

    timestamps: np.ndarray
    features: np.ndarray
    returns: np.ndarray
    window_ok: np.ndarray


def prepare(all_bars: Sequence[Bars], config: DataConfig) -> Dataset:
    """Compute features and labels, split, and fit on train what is fitted.

    Args:
        all_bars: bars of each symbol, cut to one span.
        config: window, horizon, labels, splits.

    Raises:
        DataError: too few usable rows.
    """
    # Features every symbol has: a column that one exchange records is no feature of them all.
    columns = set.intersection(*(set(bars.frame.columns) for bars in all_bars))
    chosen = features.available(sorted(columns))
    raw = [_symbol(bars, chosen, config) for bars in all_bars]
    bar = all_bars[0].seconds * 1_000_000
    start = min(int(symbol.timestamps[0]) for symbol in raw)
    stop = max(int(symbol.timestamps[-1]) for symbol in raw) + bar
    borders = split_borders(start, stop, bar, config)

    offset = 0
    parts: list[_Fitted] = []
    rows: dict[str, list[np.ndarray]] = {"train": [], "val": [], "test": []}
    for bars, symbol in zip(all_bars, raw, strict=True):
        usable = {name: _rows(symbol, getattr(borders, name), config.horizon * bar) for name in rows}
        if len(usable["train"]) < LEAST_ROWS:
            raise _too_few(bars.symbol, "train", len(usable["train"]))
        parts.append(_fit(symbol, usable["train"], config))
        for name, found in usable.items():
            rows[name].append(found + offset)
        offset += len(symbol.timestamps)
    joined = {name: np.concatenate(found) for name, found in rows.items()}
    for name in ("val", "test"):
        if len(joined[name]) < LEAST_ROWS:
            raise _too_few("the data", name, len(joined[name]))
    return Dataset(
        features=np.concatenate([part.features for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        returns=np.concatenate([part.returns for part in parts]),
        timestamps=np.concatenate([symbol.timestamps for symbol in raw]),
        symbols=np.repeat(np.arange(len(raw), dtype=np.int16), [len(symbol.timestamps) for symbol in raw]),
        **joined,
        thresholds=np.array([part.thresholds for part in parts]),
        return_scale=np.array([part.return_scale for part in parts]),
        feature_names=tuple(feature.name for feature in chosen),
        symbol_names=tuple(bars.symbol for bars in all_bars),
        window=config.window,
        horizon=config.horizon,
        bar=bar,
        borders=borders,
        fingerprint=bars_module.fingerprint(all_bars),
        span=(_iso(start), _iso(stop - bar)),
        is_synthetic=all(bars.exchange == synthetic.EXCHANGE for bars in all_bars),
    )


def _too_few(where: str, split: str, found: int) -> DataError:
    return DataError(
        f"Only {found} usable {split} rows in {where}, at least {LEAST_ROWS} are needed",
        "Use more days, a shorter interval or more symbols",
    )


def _iso(microseconds: int) -> str:
    return pd.Timestamp(microseconds, unit="us", tz="UTC").isoformat()


def _symbol(bars: Bars, chosen: Sequence[features.Feature], config: DataConfig) -> _Symbol:
    """Features and forward returns, segment by segment."""
    frame = bars.frame
    timestamps = bars_module.microseconds(frame["timestamp"])
    columns = {name: frame[name].to_numpy() for name in frame.columns[1:]} | {"seconds": timestamps // 1_000_000}
    values = np.zeros((len(frame), len(chosen)))
    returns = np.full(len(frame), np.nan)
    window_ok = np.zeros(len(frame), dtype=bool)
    for segment in bars_module.segments(bars):
        part = {name: column[segment] for name, column in columns.items()}
        values[segment], warmup = features.compute(part, chosen)
        returns[segment] = labels.forward_returns(part["close"], config.horizon)
        window_ok[segment][warmup + config.window - 1 :] = True
    return _Symbol(timestamps, values, returns, window_ok)


def _rows(symbol: _Symbol, border: tuple[int, int], reach: int) -> np.ndarray:
    """Rows at which a window ends whose label lies wholly inside the border."""
    start, stop = border
    inside = (symbol.timestamps >= start) & (symbol.timestamps + reach < stop)
    return np.flatnonzero(inside & symbol.window_ok & ~np.isnan(symbol.returns))


@dataclass(frozen=True)
class _Fitted:
    features: np.ndarray
    labels: np.ndarray
    returns: np.ndarray
    thresholds: tuple[float, float]
    return_scale: float


def _fit(symbol: _Symbol, train_rows: np.ndarray, config: DataConfig) -> _Fitted:
    """Fit scaler, thresholds and return scale on the train rows of one symbol; apply them to all its rows."""
    scaler = RobustScaler().fit(symbol.features[train_rows])
    scaled = np.clip(scaler.transform(symbol.features), -CLIP, CLIP)
    thresholds = labels.quantile_thresholds(symbol.returns[train_rows], config.label_quantiles)
    q25, q75 = np.quantile(symbol.returns[train_rows], (0.25, 0.75))
    return_scale = float(max(q75 - q25, 1e-12))
    return _Fitted(
        scaled.astype(np.float32),
        labels.by_thresholds(symbol.returns, *thresholds),
        (np.nan_to_num(symbol.returns) / return_scale).astype(np.float32),
        thresholds,
        return_scale,
    )
