"""The rows of every symbol before anything is fitted: features, forward returns, and what labels are made from.

Everything is causal; nothing in this module knows of splits. A segment is a run of rows without a missing bar, and no
label reaches beyond it. No window does either, except across a closure of the market if the settings say that it has
sessions. A stretch is a run of segments with short gaps between them, which features reach across as if nothing had
been traded there; what a longer gap costs is their warm-up. Bars that were filled into a gap on request (`UNTRADED`)
belong to a segment, but no window and no label ends in one, and no label begins in one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.config import DataConfig
from core.data.bars import Bars, bars_fingerprint, common_named_columns
from core.data.continuity import count_missing, fill_flat, find_breaks, find_gaps, slices
from core.data.features import registry
from core.data.features.base import Feature
from core.data.file_format import SYNTHETIC_EXCHANGE, UNTRADED, Columns, iso
from core.data.labels import NO_LABEL, by_thresholds, forward_returns, triple_barrier, volatility
from core.data.splits import Span
from core.errors import ConfigError, DataError

BRIDGED_BARS = 6
"""Number of missing bars up to which features reach across a gap, as if nothing had been traded in them."""
_PER_ROW = ("timestamps", "features", "returns", "trade_returns", "log_prices", "scores", "window_ok", "is_break")


@dataclass(frozen=True)
class SymbolData:
    """T rows of one symbol.

    Attributes:
        symbol: name of the symbol.
        timestamps: when each bar opens, int64 `[T]` in microseconds since 1970.
        features: feature values before scaling, float64 `[T, F]`.
        returns: forward log returns `[T]`; NaN where the future is unknown.
        trade_returns: log returns from the open of bar t+1 to that of bar t+1+h, `[T]`; NaN where unknown.
        log_prices: log closing prices `[T]`.
        scores: what quantile thresholds are fitted on, `[T]`: forward returns, or these in units of volatility.
        labels: labels that need no fitting, int8 `[T]`; None where thresholds are fitted on train.
        window_ok: whether a whole window of valid features ends at the row, bool `[T]`.
        is_break: whether bars are missing before the row that no window may reach across, bool `[T]`.
        left_out: when the last bar of the files opens, in microseconds since 1970, if it was left out because it may
            not have closed when it was recorded; None if no bar was left out.
        missing_before_left_out: number of bars missing between the last row and that bar, whether or not a gap of that
            length is filled: no call is made in a bar without trades; 0 where the market was closed.
    """

    symbol: str
    timestamps: np.ndarray
    features: np.ndarray
    returns: np.ndarray
    trade_returns: np.ndarray
    log_prices: np.ndarray
    scores: np.ndarray
    labels: np.ndarray | None
    window_ok: np.ndarray
    is_break: np.ndarray
    left_out: int | None = None
    missing_before_left_out: int = 0

    @property
    def usable(self) -> np.ndarray:
        """Whether the window that ends at the row is whole and its label known, bool `[T]`."""
        labelled = ~np.isnan(self.scores) if self.labels is None else self.labels != NO_LABEL
        return np.asarray(self.window_ok & labelled & ~np.isnan(self.returns))

    def between(self, start: int, stop: int, window: int) -> SymbolData:
        """Return the rows of a span, without the windows that began before it.

        Args:
            start: first instant of the span, in microseconds since 1970.
            stop: end of the span, in microseconds since 1970; a bar that opens then is left out.
            window: length of a window in bars.

        Raises:
            DataError: the symbol has no rows in the span.
        """
        keep = (self.timestamps >= start) & (self.timestamps < stop)
        if not keep.any():
            raise DataError(
                f"{self.symbol} has no rows in the requested span", "Choose another span, or drop the symbol"
            )
        kept = {name: getattr(self, name)[keep] for name in _PER_ROW}
        kept["window_ok"][: window - 1] = False
        return replace(self, labels=None if self.labels is None else self.labels[keep], **kept)


@dataclass(frozen=True)
class Market:
    """The rows of all symbols, before anything is fitted.

    Attributes:
        symbols: rows of each symbol.
        feature_names: names of the columns of `symbols[i].features`.
        named_count: how many of these, at the end, are columns that the settings name as features.
        ignored: columns of the files that the settings do not name.
        span: time from the first bar of any symbol to the end of the last.
        fingerprint: SHA-256 of the input.
        is_synthetic: whether all bars come from the embedded synthetic market.
        untraded: number of bars that were filled into short gaps.
        span_limit: which symbols limit the time that all have in common, see `core.data.span.describe_limit`; empty if
            none do.
        dropped: names of the features that were computed and found to be finite, but are not in `symbols`.
    """

    symbols: tuple[SymbolData, ...]
    feature_names: tuple[str, ...]
    named_count: int
    ignored: tuple[str, ...]
    span: Span
    fingerprint: str
    is_synthetic: bool
    untraded: int = 0
    span_limit: str = ""
    dropped: tuple[str, ...] = ()


def bars_market(
    all_bars: Sequence[Bars],
    config: DataConfig,
    keep_features: bool = True,
    only_features: Collection[str] | None = None,
) -> Market:
    """Compute features, returns and labels of bars.

    Args:
        all_bars: bars of each symbol, cut to one span.
        config: settings of windows, horizon, labels and additional features.
        keep_features: whether to keep the features that are computed; without them, which are most of a market, the
            rest is what a check needs: columns that the settings name, returns, labels, and which windows are whole.
        only_features: names of the features to compute or, of additional columns, to keep; None for all that the
            columns allow.

    Raises:
        ConfigError: a column that the settings name is missing, or has the name of a feature.
        DataError: bars are so extreme that a feature is not finite, or lack the columns of one of `only_features`.
    """
    # A feature needs the columns of every symbol: taker flow that one exchange alone records is left out.
    columns = set.intersection(*(set(bars.frame.columns) for bars in all_bars))
    features = registry.available_features(sorted(columns))
    if only_features is not None:
        _check_columns(only_features, [feature.name for feature in features], columns)
        features = [feature for feature in features if feature.name in only_features]
    named = common_named_columns(all_bars, config.feature_patterns)
    clash = sorted({feature.name for feature in features} & set(named))
    if clash:
        raise ConfigError(f"The named column(s) {', '.join(clash)} have the name of a feature", "Rename them")
    symbols = tuple(symbol_data(bars, features, named, config, keep_features) for bars in all_bars)
    computed = tuple(feature.name for feature in features)
    return Market(
        symbols=symbols,
        feature_names=(*computed, *named) if keep_features else named,
        named_count=len(named),
        ignored=tuple(sorted({name for bars in all_bars for name in bars.ignored})),
        span=market_span(symbols, all_bars[0].bar),
        fingerprint=bars_fingerprint(all_bars),
        is_synthetic=all(bars.exchange == SYNTHETIC_EXCHANGE for bars in all_bars),
        untraded=sum(int(bars.frame[UNTRADED].sum()) for bars in all_bars if UNTRADED in bars.frame),
        dropped=() if keep_features else computed,
    )


def _check_columns(wanted: Collection[str], computable: Collection[str], columns: Collection[str]) -> None:
    """Refuse bars that lack columns of features that are asked for.

    Args:
        wanted: names of the features.
        computable: names of those features that can be computed.
        columns: columns that the bars of all symbols have.
    """
    missing = sorted(set(wanted) - set(computable) - set(columns))
    if missing:
        needs = {feature.name: feature.needs for feature in registry.FEATURES}
        lacking = sorted({column for name in missing for column in needs.get(name, (name,))} - set(columns))
        raise DataError(
            f"The feature(s) {', '.join(missing)} cannot be computed: not every symbol has the column(s) "
            f"{', '.join(lacking)}",
            "Use files that have these columns, as those of the training had",
        )


def symbol_data(
    bars: Bars, features: Sequence[Feature], named: Sequence[str], config: DataConfig, keep_features: bool = True
) -> SymbolData:
    """Compute features, returns and labels of one symbol's bars.

    Args:
        bars: bars of the symbol.
        features: features to compute from the columns.
        named: additional columns of the bars that are features as they stand.
        config: settings of windows, horizon and labels.
        keep_features: whether to keep the features that are computed, see `bars_market`.

    Raises:
        DataError: bars are so extreme that a feature is not finite.
    """
    columns = {name: bars.frame[name].to_numpy() for name in bars.frame.columns[1:]} | {"timestamp": bars.opened}
    opened = columns["timestamp"]
    # Not one of the columns, whose names are the user's: number of the segment of each row.
    segment = np.cumsum(find_gaps(opened, bars.bar))
    is_break = find_breaks(opened, bars.bar, bars.reopenings)
    missing = count_missing(opened, bars.bar, is_break, BRIDGED_BARS)
    arrays: dict[str, Any] = {}
    for rows in slices(is_break & (missing == 0)):
        stretch = {name: column[rows] for name, column in columns.items()}
        stretch, is_filled = fill_flat(stretch, bars.bar, missing[rows])
        if not keep_features:
            _check_computed(bars.symbol, stretch, features)
        arrays_of_stretch = _stretch_arrays(
            stretch, segment[rows][np.cumsum(~is_filled) - 1], is_filled, features, named, config, keep_features
        )
        for name, values in arrays_of_stretch.items():
            if name not in arrays:  # joining lists of stretches at the end would take twice the memory
                arrays[name] = np.empty((len(opened), *values.shape[1:]), dtype=values.dtype)
            arrays[name][rows] = values[~is_filled]
    computed = [feature.name for feature in features] if keep_features else []
    _check_finite(bars.symbol, opened, arrays["features"], [*computed, *named])
    return SymbolData(
        symbol=bars.symbol,
        timestamps=opened,
        log_prices=np.log(columns["close"]),
        is_break=is_break,
        left_out=bars.left_out,
        missing_before_left_out=_missing_before_left_out(bars),
        **{"labels": None, **arrays},
    )


def _missing_before_left_out(bars: Bars) -> int:
    """Count the bars missing between the last bar and the one that was left out; 0 where the market was closed."""
    if bars.left_out is None:
        return 0
    opened = np.append(bars.opened, bars.left_out)
    missing = int(bars.left_out - bars.opened[-1]) // bars.bar - 1
    is_break = bool(find_breaks(opened, bars.bar, bars.reopenings)[-1])
    return missing if is_break else 0


def _stretch_arrays(
    columns: Columns,
    segment: np.ndarray,
    is_filled: np.ndarray,
    features: Sequence[Feature],
    named: Sequence[str],
    config: DataConfig,
    keep_features: bool,
) -> dict[str, np.ndarray]:
    """Compute the arrays of `SymbolData` of one stretch; `labels` only where they need no fitting.

    Args:
        columns: columns of the stretch, in which short gaps are filled, each `[T]`.
        segment: number of each row's segment, the rows around it between two gaps or closures, int64 `[T]`; a row that
            was filled in has that of the row before it.
        is_filled: rows that were filled in, which features reach across, but neither windows nor labels, bool `[T]`.
        features: features to compute from the columns.
        named: additional columns that are features as they stand.
        config: settings of windows, horizon and labels.
        keep_features: whether to compute the features; only their warm-up counts otherwise.
    """
    if keep_features:
        with np.errstate(all="ignore"):  # absurd bars overflow: `_check_finite` refuses what they give
            computed, warmup = registry.compute_features(columns, features)
    else:
        length = len(columns["timestamp"])
        computed, warmup = np.empty((length, 0)), min(registry.longest_warmup(features), length)
    values = np.column_stack([computed, *(columns[name] for name in named)]) if named else computed
    values[:warmup] = 0.0  # not valid yet, and in no window
    row = np.arange(len(values))
    last_invalid = np.maximum.accumulate(np.where(is_filled | (row < warmup), row, -1))
    is_traded = ~is_filled & (columns.get(UNTRADED, np.zeros(len(row))) == 0)
    close, horizon = columns["close"], config.horizon
    returns = np.where(_is_within(segment, is_traded, (horizon,)), forward_returns(close, horizon), np.nan)
    # A snapshot has no open: a trade enters at its mid price.
    open_returns = np.append(forward_returns(columns.get("open", close), horizon)[1:], np.nan)
    trade_returns = np.where(_is_within(segment, is_traded, (1, 1 + horizon)), open_returns, np.nan)
    scores = _scores(close, returns, config)
    arrays = {
        "features": values,
        "returns": returns,
        "trade_returns": trade_returns,
        "scores": scores,
        "window_ok": (row - last_invalid >= config.window) & is_traded,
    }
    labels = unfitted_labels(columns, scores, config)
    return arrays if labels is None else arrays | {"labels": np.where(np.isnan(returns), NO_LABEL, labels)}


def _is_within(segment: np.ndarray, is_traded: np.ndarray, ahead: Sequence[int]) -> np.ndarray:
    """Return whether each row and those that lie so many rows ahead are traded bars of one segment, bool `[T]`."""
    is_within = is_traded.copy()
    for rows in ahead:
        is_within[:-rows] &= is_traded[rows:] & (segment[rows:] == segment[:-rows])
        is_within[-rows:] = False
    return is_within


def _check_computed(symbol: str, columns: Columns, features: Sequence[Feature]) -> None:
    """Compute the features of a stretch piece by piece, and refuse what is not finite."""
    names = [feature.name for feature in features]
    with np.errstate(all="ignore"):
        for start, values in registry.compute_in_pieces(columns, features):
            _check_finite(symbol, columns["timestamp"][start:], values, names)


def _check_finite(symbol: str, timestamps: np.ndarray, values: np.ndarray, names: Sequence[str]) -> None:
    """Refuse bars so extreme that a feature overflows: no NaN ever enters a dataset.

    Args:
        symbol: name of the symbol.
        timestamps: when each bar opens, from that of the first row of the values on, in microseconds since 1970.
        values: features of some rows, `[N, F]`.
        names: names of the features.
    """
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        name = names[int(np.flatnonzero(~np.isfinite(values[row]))[0])]
        raise DataError(
            f"Feature {name} of {symbol} is not finite at {iso(int(timestamps[row]))}",
            "Look for absurd prices or volumes there, and remove the row: gaps are legal",
        )


def _scores(close: np.ndarray, returns: np.ndarray, config: DataConfig) -> np.ndarray:
    """Return what label thresholds apply to, `[T]`: forward returns, or these in units of their volatility."""
    if not config.labels.volatility_scaled:
        return returns
    return np.asarray(returns / (volatility(close, config.labels.volatility_span) * np.sqrt(config.horizon)))


def unfitted_labels(columns: Columns, scores: np.ndarray, config: DataConfig) -> np.ndarray | None:
    """Return the labels of one stretch, int8 `[T]`; None where their thresholds have to be fitted on train."""
    settings = config.labels
    match settings.kind:
        case "quantile":
            return None
        case "fixed":
            return by_thresholds(scores, *settings.fixed)
        case "triple_barrier":
            close = columns["close"]
            # An order book has no high and low between its snapshots: the path is that of its mid price.
            high, low = (columns.get(name, close) for name in ("high", "low"))
            return triple_barrier(high, low, close, config.horizon, settings.volatility_span, settings.barrier_width)


def market_span(symbols: Sequence[SymbolData], bar: int) -> Span:
    """Return the span from the first bar of any symbol to the end of the last; `bar` is its length in microseconds."""
    start = min(int(rows.timestamps[0]) for rows in symbols)
    last = max(int(rows.timestamps[-1]) for rows in symbols)
    return Span(start, last + bar, bar)
