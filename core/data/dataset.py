"""From market data to a dataset: features, labels, splits, scaling. Windows are never materialised.

Shapes: T rows (all symbols one after the other), F features, S symbols, L bars a window, h horizon.

What is fitted (scaler, label thresholds, return scale) is fitted on train rows alone, per symbol.
No window or label crosses a gap, a symbol or the border of a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from core.config import DataConfig
from core.data import bars, cache
from core.data.labels import NO_LABEL, by_thresholds, quantile_thresholds
from core.data.market import Market, SymbolData
from core.data.sources.reader import bar_files, read_market
from core.data.splits import Borders, main_borders
from core.errors import ConfigError, DataError

MIN_ROWS = 500
"""Fewest usable rows of val or test from which a figure means anything."""
CLIP = 10.0
"""Scaled features and returns are clipped to this many interquartile ranges."""
NARROW = 0.1
"""An interquartile range below this share of the standard deviation says nothing of a feature's scale."""
LOOKAHEAD = 0.3
"""A feature whose rank correlation with the forward return exceeds this on train is taken to look into the future."""


@dataclass(frozen=True)
class Dataset:
    """All that a training reads. Arrays are shared, never changed.

    Attributes:
        features: float32 `[T, F]`, scaled.
        labels: int8 `[T]`; NO_LABEL (-1) where the future is unknown.
        returns: float32 `[T]`, forward log return over the symbol's robust train scale, clipped; 0 where unknown.
        trade_returns: float32 `[T]`, log return from open[t+1] to open[t+1+h]; NaN where unknown.
        log_prices: float64 `[T]`, of the close.
        timestamps: int64 `[T]`, bar openings in epoch microseconds.
        symbols: int16 `[T]`, index into `symbol_names`.
        train, val, test: int64 `[N]`, rows at which a usable window ends.
        thresholds: float64 `[S, 2]`, label borders as fitted or given; zeros where labels have none.
        return_scale: float64 `[S]`.
        center, scale: float64 `[S, F]`, what features were scaled by.
        window: L.
        horizon: h.
        bar: length of a bar in microseconds.
        borders: the instants of the splits.
        fingerprint: SHA-256 of the input.
        span: first and last bar opening, ISO 8601.
        is_synthetic: whether the market is made up.
        ignored: columns of the files that nobody named.
    """

    features: np.ndarray
    labels: np.ndarray
    returns: np.ndarray
    trade_returns: np.ndarray
    log_prices: np.ndarray
    timestamps: np.ndarray
    symbols: np.ndarray
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    thresholds: np.ndarray
    return_scale: np.ndarray
    center: np.ndarray
    scale: np.ndarray
    feature_names: tuple[str, ...]
    symbol_names: tuple[str, ...]
    window: int
    horizon: int
    bar: int
    borders: Borders
    fingerprint: str
    span: tuple[str, str]
    is_synthetic: bool
    ignored: tuple[str, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

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
            labels=np.where(known, self.labels[keep], NO_LABEL).astype(np.int8),
            returns=np.where(known, self.returns[keep], 0).astype(np.float32),
            trade_returns=np.where(
                self.timestamps[keep] + (self.horizon + 1) * self.bar < test_start, self.trade_returns[keep], np.nan
            ).astype(np.float32),
            log_prices=self.log_prices[keep],
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


def load_dataset(config: DataConfig) -> Dataset:
    """Read what a config names and make the dataset of its main splits; from the cache if it was made before.

    Raises:
        ConfigError: a column that it names is not there.
        DataError: data are missing, damaged or too few, or a named feature looks into the future.
    """
    paths = config.table.files if config.table is not None else bar_files(config)
    key = cache.cache_key(config.model_dump_json(), paths)
    stored = cache.read_cached(key) if key else None
    if stored is not None:
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # damaged: made again below
            return _from_parts(*stored)
    market = read_market(config)
    dataset = fit_dataset(market, config, main_borders(market.span, config))
    # Not if a file was replaced while it was read.
    if key and key == cache.cache_key(config.model_dump_json(), paths):
        cache.write_cached(key, *_to_parts(dataset))
    return dataset


def load_whole_dataset(config: DataConfig) -> Dataset:
    """Read what a config names and train on all of it: nothing is held out, so nothing can be measured.

    Raises:
        ConfigError, DataError: as `load`.
    """
    market = read_market(config)
    start, stop = market.span.start, market.span.stop
    return fit_dataset(market, config, Borders((start, stop), (stop, stop), (stop, stop)))


def _to_parts(dataset: Dataset) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    values = {field.name: getattr(dataset, field.name) for field in fields(Dataset)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    rest = {name: value for name, value in values.items() if name not in arrays}
    return arrays, {**rest, "borders": asdict(dataset.borders)}


def _from_parts(arrays: dict[str, np.ndarray], rest: dict[str, Any]) -> Dataset:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in rest.items()}
    values["borders"] = Borders(**{name: (start, stop) for name, (start, stop) in rest["borders"].items()})
    return Dataset(**{**arrays, **values})


def fit_dataset(market: Market, config: DataConfig, borders: Borders, least: int | None = None) -> Dataset:
    """Split, and fit on train what is fitted.

    Args:
        market: rows of all symbols.
        config: window, horizon, labels.
        borders: where time is cut; an empty val or test holds nothing out.
        least: fewest usable rows of train (of each symbol), val and test; `LEAST_ROWS` if not given.

    Raises:
        DataError: too few usable rows, or a named feature looks into the future.
    """
    reach = config.horizon * market.span.bar
    least = MIN_ROWS if least is None else least
    offset = 0
    fitted: list[_Fitted] = []
    splits: dict[str, list[np.ndarray]] = {"train": [], "val": [], "test": []}
    for item in market.rows:
        usable = {name: _inside(item, getattr(borders, name), reach) for name in splits}
        if len(usable["train"]) < least:
            raise too_few_rows(item.symbol, "train", len(usable["train"]))
        _check_lookahead(market, item, usable["train"], config.allow_lookahead)
        fitted.append(_fit(item, usable["train"], config))
        for name, found in usable.items():
            splits[name].append(found + offset)
        offset += len(item.timestamps)
    joined = {name: np.concatenate(found) for name, found in splits.items()}
    for name in ("val", "test"):
        start, stop = getattr(borders, name)
        if start < stop and len(joined[name]) < least:
            raise too_few_rows("the data", name, len(joined[name]))
    return Dataset(
        features=np.concatenate([part.features for part in fitted]),
        labels=np.concatenate([part.labels for part in fitted]),
        returns=np.concatenate([part.returns for part in fitted]),
        trade_returns=np.concatenate([item.trade_returns for item in market.rows]).astype(np.float32),
        log_prices=np.concatenate([item.log_prices for item in market.rows]),
        timestamps=np.concatenate([item.timestamps for item in market.rows]),
        symbols=np.repeat(np.arange(len(fitted), dtype=np.int16), [len(item.timestamps) for item in market.rows]),
        **joined,
        thresholds=np.array([part.thresholds for part in fitted]),
        return_scale=np.array([part.return_scale for part in fitted]),
        center=np.array([part.center for part in fitted]),
        scale=np.array([part.scale for part in fitted]),
        feature_names=market.feature_names,
        symbol_names=tuple(item.symbol for item in market.rows),
        window=config.window,
        horizon=config.horizon,
        bar=market.span.bar,
        borders=borders,
        fingerprint=market.fingerprint,
        span=(_iso(market.span.start), _iso(market.span.stop - market.span.bar)),
        is_synthetic=market.is_synthetic,
        ignored=market.ignored,
    )


def too_few_rows(where: str, split: str, found: int) -> DataError:
    """The error that says so."""
    return DataError(
        f"Only {found} usable {split} rows in {where}, at least {MIN_ROWS} are needed",
        "Use more days, a shorter interval or more symbols, or data with fewer gaps: each costs the features' warm-up "
        "and a window",
    )


def _iso(microseconds: int) -> str:
    return pd.Timestamp(microseconds, unit="us", tz="UTC").isoformat()


def _inside(item: SymbolData, border: tuple[int, int], reach: int) -> np.ndarray:
    """Rows at which a whole window ends whose label lies wholly inside the border."""
    start, stop = border
    inside = (item.timestamps >= start) & (item.timestamps + reach < stop)
    return np.flatnonzero(inside & item.known)


def _check_lookahead(market: Market, item: SymbolData, train: np.ndarray, allowed: Sequence[str]) -> None:
    """Refuse a named feature that knows the forward return; our own are causal by test."""
    if market.named and np.ptp(item.returns[train]) == 0:
        raise DataError(f"The forward return of {item.symbol} is the same in every train row", "Mend that column")
    first = len(market.feature_names) - market.named
    for place in range(first, len(market.feature_names)):
        name, values = market.feature_names[place], item.features[train, place]
        if bars.is_named(name, allowed) or np.ptp(values) == 0:
            continue
        correlation = float(spearmanr(values, item.returns[train]).statistic)
        if abs(correlation) > LOOKAHEAD:
            raise DataError(
                f"Feature {name} of {item.symbol} has rank correlation {correlation:+.2f} with the return that "
                f"follows it: it seems to look into the future (the bound is {LOOKAHEAD})",
                f"Leave it out, or, if it is rightly so, add allow_lookahead: [{name}]",
            )


@dataclass(frozen=True)
class _Fitted:
    features: np.ndarray
    labels: np.ndarray
    returns: np.ndarray
    thresholds: tuple[float, float]
    return_scale: float
    center: np.ndarray
    scale: np.ndarray


def scale(features: np.ndarray, center: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Scaled and clipped features, float32 `[T, F]`, of features `[T, F]`."""
    return np.asarray(np.clip((features - center) / width, -CLIP, CLIP), dtype=np.float32)


def _scaler(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and interquartile range of each feature, `[F]` each.

    Where hardly any row moves (returns of one second), the range is next to nothing beside the standard
    deviation, which then takes its place; where no row does, 1.
    """
    low, center, high = np.quantile(features, (0.25, 0.5, 0.75), axis=0)
    deviation = features.std(axis=0)
    width = np.where(high - low < NARROW * deviation, deviation, high - low)
    return center, np.where(np.ptp(features, axis=0) == 0, 1.0, width)


def _return_scale(item: SymbolData, train: np.ndarray) -> float:
    """Interquartile range of the forward returns on train; of those that are not 0, where most are.

    Raises:
        DataError: the price never moves.
    """
    returns = item.returns[train]
    for some in (returns, returns[returns != 0]):
        if len(some):
            low, high = np.quantile(some, (0.25, 0.75))
            if high - low > NARROW * float(np.median(np.abs(some))) > 0:
                return float(high - low)
    moved = float(np.abs(returns).max(initial=0.0))
    if moved == 0:
        raise DataError(f"The forward return of {item.symbol} is 0 in every train row", "Leave the symbol out")
    return moved


def _fit(item: SymbolData, train: np.ndarray, config: DataConfig) -> _Fitted:
    """Fit scaler, thresholds and return scale on the train rows of one symbol; apply them to all its rows."""
    center, width = _scaler(item.features[train])
    scaled = scale(item.features, center, width)
    thresholds = config.labels.fixed if config.labels.kind == "fixed" else (0.0, 0.0)
    found = item.labels
    if found is None:
        thresholds = quantile_thresholds(item.scores[train], config.labels.quantiles)
        found = by_thresholds(item.scores, *thresholds)
    return_scale = _return_scale(item, train)
    return _Fitted(
        scaled,
        np.where(np.isnan(item.returns), NO_LABEL, found).astype(np.int8),
        np.clip(np.nan_to_num(item.returns) / return_scale, -CLIP, CLIP).astype(np.float32),
        thresholds,
        return_scale,
        center,
        width,
    )
