"""The dataset of a training: features, labels and splits of all symbols, with everything fitted that has to be.

Shapes: T rows (all symbols one after the other), F features, S symbols, L bars per window, h bars of horizon. Windows
are never materialised: a window is the L rows that end at a row.

The scaler, the label thresholds and the return scale are fitted per symbol and on train rows alone. No window or label
crosses a gap, a symbol or the border of a split.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np

from core.config import DataConfig
from core.data import cache
from core.data.file_format import iso
from core.data.labels import NO_LABEL, by_thresholds, quantile_thresholds
from core.data.row_counts import check_row_counts
from core.data.splits import Borders, main_borders
from core.errors import ConfigError, DataError
from core.files import expand_globs

if TYPE_CHECKING:
    from core.data.market import Market, SymbolData

MIN_ROWS = 500
"""Minimum number of usable rows in a split: a metric of fewer means nothing."""
CLIP = 10.0
"""Scaled features and returns are clipped to this many interquartile ranges."""
_MIN_RANGE_SHARE = 0.1
"""An interquartile range below this share of the standard deviation does not measure the scale of a feature."""
_BLOCK_ROWS, _BLOCK_COLUMNS = 16_384, 4
"""Sizes of the blocks in which features are scaled and their scales are fitted."""
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Dataset:
    """Everything that a training reads. The arrays are shared and must not be changed.

    Attributes:
        features: scaled and clipped features, float32 `[T, F]`.
        labels: class of each row, int8 `[T]`; NO_LABEL (-1) where the future is unknown.
        returns: forward log return over the symbol's return scale, clipped, float32 `[T]`; 0 where unknown.
        trade_returns: log return from open[t+1] to open[t+1+h], float32 `[T]`; NaN where unknown.
        log_prices: log closing price, float64 `[T]`.
        timestamps: when each bar opens, int64 `[T]` in microseconds since 1970.
        symbols: index of each row's symbol in `symbol_names`, int16 `[T]`.
        train, val, test: rows at which a usable window of the split ends, int64 `[N]`.
        thresholds: label thresholds as fitted or given, float64 `[S, 2]`; zeros where labels have none.
        return_scale: robust scale of the forward returns on train, float64 `[S]`.
        center, scale: what is subtracted from features and what they are divided by, float64 `[S, F]`.
        feature_names: names of the columns of `features`.
        symbol_names: names of the symbols.
        window: L, the number of bars in a window.
        horizon: h, the number of bars that a label looks ahead.
        bar: length of a bar in microseconds.
        config: the settings that the dataset was made with.
        borders: start and stop of each split.
        fingerprint: SHA-256 of the input.
        span: opening of the first and of the last bar, ISO 8601.
        is_synthetic: whether all bars come from the embedded synthetic market.
        ignored: columns of the files that the settings do not name.
        untraded: number of bars that were filled into short gaps.
        span_limit: which symbol limits the time that all have in common; empty if none does.
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
    config: DataConfig
    borders: Borders
    fingerprint: str
    span: tuple[str, str]
    is_synthetic: bool
    ignored: tuple[str, ...] = ()
    untraded: int = 0
    span_limit: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

    def without_test(self) -> Dataset:
        """Return the dataset without any row of the test span: what trials may see."""
        return replace(self.until(self.borders.val[1]), test=self.test[:0])

    def until(self, end: int) -> Dataset:
        """Return the dataset without any row from an instant on, and without labels and trades that reach beyond it.

        Args:
            end: the instant, in microseconds since 1970.
        """
        keep = self.timestamps < end
        timestamps = self.timestamps[keep]
        # The last labels and trades before the end look across it.
        label_known = timestamps + self.horizon * self.bar < end
        trade_known = timestamps + (self.horizon + 1) * self.bar < end
        new_row = np.cumsum(keep) - 1
        splits = {"train": self.train, "val": self.val, "test": self.test}
        return replace(
            self,
            features=self.features[keep],
            labels=np.where(label_known, self.labels[keep], NO_LABEL).astype(np.int8),
            returns=np.where(label_known, self.returns[keep], 0).astype(np.float32),
            trade_returns=np.where(trade_known, self.trade_returns[keep], np.nan).astype(np.float32),
            log_prices=self.log_prices[keep],
            timestamps=timestamps,
            symbols=self.symbols[keep],
            **{name: new_row[rows[keep[rows]]] for name, rows in splits.items()},
        )

    def row_counts(self) -> dict[str, list[int]]:
        """Return how many usable rows train, val and test have of each symbol, `[S]` each."""
        symbols = len(self.symbol_names)
        return {name: np.bincount(self.symbols[getattr(self, name)], minlength=symbols).tolist() for name in _SPLITS}

    def check_batch_size(self, batch_size: int) -> None:
        """Check that the train rows can fill a batch of this many windows.

        Raises:
            ConfigError: the batch is larger than the train split.
        """
        if batch_size > len(self.train):
            raise ConfigError(
                f"A batch of {batch_size} is larger than the {len(self.train)} train windows",
                "Use a smaller batch size, or more days",
            )


def load_dataset(config: DataConfig) -> Dataset:
    """Make the dataset of a config's main splits, or read it from the cache if it was made before.

    Raises:
        ConfigError: a column that the config names is missing.
        DataError: data are missing, damaged or too few, or a named feature looks into the future.
    """
    from core.data.sources.reader import bar_files, read_market  # memory and time that a trial has no use for

    paths = expand_globs(config.table.files) if config.table is not None else bar_files(config)
    key = cache.cache_key(config.model_dump_json(), paths)
    entry = cache.read_cached(key) if key else None
    if entry is not None:
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # a damaged entry is made again
            return _from_entry(*entry, config)
    market = read_market(config)
    dataset = fit_dataset(market, config, main_borders(market.span, config))
    # A file that was replaced while it was read must not be cached under the key of the other.
    if key and key == cache.cache_key(config.model_dump_json(), paths):
        cache.write_cached(key, *_to_entry(dataset))
    return dataset


def load_whole_dataset(config: DataConfig) -> Dataset:
    """Make a dataset whose train split is the whole span: nothing is held out, so nothing can be measured.

    Raises:
        ConfigError: a column that the config names is missing.
        DataError: data are missing, damaged or too few, or a named feature looks into the future.
    """
    from core.data.sources.reader import read_market

    market = read_market(config)
    start, stop = market.span.start, market.span.stop
    return fit_dataset(market, config, Borders((start, stop), (stop, stop), (stop, stop)))


def _to_entry(dataset: Dataset) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Split a dataset into the arrays and the JSON values of a cache entry; its settings are part of the key."""
    fields_by_name = {field.name: getattr(dataset, field.name) for field in fields(Dataset) if field.name != "config"}
    arrays = {name: value for name, value in fields_by_name.items() if isinstance(value, np.ndarray)}
    values = {name: value for name, value in fields_by_name.items() if name not in arrays}
    return arrays, {**values, "borders": asdict(dataset.borders)}


def _from_entry(arrays: dict[str, np.ndarray], values: dict[str, Any], config: DataConfig) -> Dataset:
    """Rebuild a dataset of these settings from the arrays and the JSON values of a cache entry; errors mean damage."""
    # JSON has lists where the dataset has tuples.
    restored: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    restored["borders"] = Borders(**{name: (start, stop) for name, (start, stop) in values["borders"].items()})
    return Dataset(**{**arrays, **restored, "config": config})


def fit_dataset(market: Market, config: DataConfig, borders: Borders, min_rows: int | None = None) -> Dataset:
    """Split the rows of a market, fit scalers and thresholds on train, and apply them to all rows.

    Args:
        market: rows of all symbols.
        config: settings of window, horizon and labels.
        borders: start and stop of each split; an empty val or test holds nothing out.
        min_rows: minimum number of usable rows in a split, see `check_row_counts`; `MIN_ROWS` if None.

    Raises:
        ConfigError: a pattern of `allow_lookahead` matches no named feature.
        DataError: there are too few usable rows, or a named feature looks into the future.
    """
    from core.data.lookahead import check_columns, check_exceptions

    check_exceptions(market, config)
    reach = config.horizon * market.span.bar
    # Across closures, a window may reach further back than the embargo before its split.
    earliest = {"train": borders.train[0], "val": borders.train[1], "test": borders.val[1]}
    rows = {
        name: [
            _whole_rows(data, _usable_rows(data, getattr(borders, name), reach), config.window, earliest[name])
            for data in market.symbols
        ]
        for name in _SPLITS
    }
    counts = {name: [len(numbers) for numbers in parts] for name, parts in rows.items()}
    check_row_counts(market, counts, borders, MIN_ROWS if min_rows is None else min_rows)
    fitted = []
    for data, train in zip(market.symbols, rows["train"], strict=True):
        symbol = fit_symbol(data, train, config)
        check_columns(market, data, train, symbol.labels, config)
        fitted.append(symbol)
    lengths = [len(data.timestamps) for data in market.symbols]
    # In the dataset, the rows of a symbol follow those of all symbols before it.
    offsets = np.cumsum([0, *lengths[:-1]])
    splits = {
        name: np.concatenate([numbers + offset for numbers, offset in zip(parts, offsets, strict=True)])
        for name, parts in rows.items()
    }
    return Dataset(
        **{name: np.concatenate([getattr(part, name) for part in fitted]) for name in _ROW_ARRAYS},
        **{name: np.array([getattr(part, name) for part in fitted]) for name in _FITTED_VALUES},
        **splits,
        symbols=np.repeat(np.arange(len(fitted), dtype=np.int16), lengths),
        feature_names=market.feature_names,
        symbol_names=tuple(data.symbol for data in market.symbols),
        window=config.window,
        horizon=config.horizon,
        bar=market.span.bar,
        config=config,
        borders=borders,
        fingerprint=market.fingerprint,
        span=(iso(market.span.start), iso(market.span.stop - market.span.bar)),
        is_synthetic=market.is_synthetic,
        ignored=market.ignored,
        untraded=market.untraded,
        span_limit=market.span_limit,
    )


def _usable_rows(data: SymbolData, border: tuple[int, int], reach: int) -> np.ndarray:
    """Return the rows of a symbol at which a whole window ends whose label lies wholly inside a split.

    Args:
        data: rows of the symbol.
        border: start and stop of the split, in microseconds since 1970.
        reach: how far a label looks ahead, in microseconds.
    """
    start, stop = border
    inside = (data.timestamps >= start) & (data.timestamps + reach < stop)
    return np.flatnonzero(inside & data.usable)


def _whole_rows(data: SymbolData, rows: np.ndarray, window: int, earliest: int) -> np.ndarray:
    """Return those rows whose window begins at an instant or later, in microseconds since 1970."""
    return np.asarray(rows[data.timestamps[rows - window + 1] >= earliest])


@dataclass(frozen=True)
class FittedSymbol:
    """The arrays and fitted values of one symbol, under the names that they have in `Dataset`."""

    features: np.ndarray
    labels: np.ndarray
    returns: np.ndarray
    trade_returns: np.ndarray
    log_prices: np.ndarray
    timestamps: np.ndarray
    thresholds: tuple[float, float]
    return_scale: float
    center: np.ndarray
    scale: np.ndarray


_ROW_ARRAYS = ("features", "labels", "returns", "trade_returns", "log_prices", "timestamps")
"""Attributes with a value per row, which a dataset holds one symbol after the other."""
_FITTED_VALUES = ("thresholds", "return_scale", "center", "scale")
"""Attributes with a value per symbol, which a dataset stacks."""


def fit_symbol(data: SymbolData, train: np.ndarray, config: DataConfig) -> FittedSymbol:
    """Fit scaler, thresholds and return scale on the train rows of one symbol, and apply them to all its rows."""
    center, width = _fit_scaler(data.features, train)
    thresholds = config.labels.fixed if config.labels.kind == "fixed" else (0.0, 0.0)
    if data.labels is None:
        thresholds = quantile_thresholds(data.scores[train], config.labels.quantiles)
    return apply_fitted(data, center, width, thresholds, _fit_return_scale(data, train))


def apply_fitted(
    data: SymbolData, center: np.ndarray, width: np.ndarray, thresholds: tuple[float, float], return_scale: float
) -> FittedSymbol:
    """Scale and label all rows of one symbol with what was fitted before, on these rows or on earlier ones.

    Args:
        data: rows of the symbol.
        center: what is subtracted from each feature, `[F]`.
        width: what each feature is divided by, `[F]`.
        thresholds: thresholds between the classes; they do not matter to labels that need no fitting.
        return_scale: unit of the forward returns, as a log return.
    """
    labels = by_thresholds(data.scores, *thresholds) if data.labels is None else data.labels
    return FittedSymbol(
        features=scale_features(data.features, center, width),
        labels=np.where(np.isnan(data.returns), NO_LABEL, labels).astype(np.int8),
        returns=np.clip(np.nan_to_num(data.returns) / return_scale, -CLIP, CLIP).astype(np.float32),
        trade_returns=data.trade_returns.astype(np.float32),
        log_prices=data.log_prices,
        timestamps=data.timestamps,
        thresholds=thresholds,
        return_scale=return_scale,
        center=center,
        scale=width,
    )


def scale_features(features: np.ndarray, center: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Scale and clip features.

    Args:
        features: feature values `[T, F]`.
        center: what is subtracted from each feature, `[F]`.
        width: what each feature is divided by, `[F]`.

    Returns:
        Scaled features, float32 `[T, F]`.
    """
    scaled = np.empty(features.shape, dtype=np.float32)
    # In blocks of rows: there may be gigabytes of features, and each step of the formula would make a copy of them.
    for start in range(0, len(features), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        scaled[rows] = np.clip((features[rows] - center) / width, -CLIP, CLIP)
    return scaled


def _fit_scaler(features: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the median and the interquartile range of each feature `[T, F]` on the train rows, `[F]` each.

    Where hardly any row moves (returns of one second), the range is almost nothing compared with the standard
    deviation, which then takes its place; where no row moves, it is 1.
    """
    count = features.shape[1]
    centers, widths = np.empty(count), np.empty(count)
    # In blocks of columns, because each step makes a copy. No block has one column unless there is no other: numpy sums
    # a lone column in another order, which would change the last bit of its deviation.
    for columns in np.array_split(np.arange(count), max(ceil(count / _BLOCK_COLUMNS), 1)):
        values = features[np.ix_(train, columns)]
        low, centers[columns], high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
        deviation = values.std(axis=0)
        width = np.where(high - low < _MIN_RANGE_SHARE * deviation, deviation, high - low)
        widths[columns] = np.where(np.ptp(values, axis=0) == 0, 1.0, width)
    return centers, widths


def _fit_return_scale(data: SymbolData, train: np.ndarray) -> float:
    """Compute the interquartile range of the forward returns on train, of those other than 0 where most are 0.

    Raises:
        DataError: the price never moves.
    """
    returns = data.returns[train]
    for sample in (returns, returns[returns != 0]):
        if len(sample):
            low, high = np.quantile(sample, (0.25, 0.75))
            if high - low > _MIN_RANGE_SHARE * float(np.median(np.abs(sample))) > 0:
                return float(high - low)
    largest = float(np.abs(returns).max(initial=0.0))
    if largest == 0:
        raise DataError(f"The forward return of {data.symbol} is 0 in every train row", "Drop the symbol")
    return largest
