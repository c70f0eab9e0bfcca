"""The rows of one symbol before anything is fitted: features, forward returns, and what labels are cut from.

All of it is causal, segment by segment; nothing here knows of splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.config import DataConfig, LabelConfig
from core.data.bars import Bars, bars_fingerprint, common_named, segments
from core.data.features import registry
from core.data.features.base import Feature
from core.data.file_format import EXCHANGE, Columns, microseconds
from core.data.labels import NO_LABEL, by_thresholds, forward_returns, triple_barrier, volatility
from core.data.splits import Span
from core.errors import ConfigError, DataError

_PER_ROW = ("timestamps", "features", "returns", "trade_returns", "log_prices", "scores", "window_ok")


@dataclass(frozen=True)
class SymbolData:
    """T rows of one symbol.

    Attributes:
        symbol: its name.
        timestamps: int64 `[T]`, bar openings in epoch microseconds.
        features: float64 `[T, F]`.
        returns: forward log returns `[T]`; NaN where the future is unknown.
        trade_returns: log returns from the open of bar t+1 to that of bar t+1+h, `[T]`; NaN where unknown.
        log_prices: log closing prices `[T]`.
        scores: what quantile thresholds are fitted on, `[T]`: returns, perhaps in units of volatility.
        labels: int8 `[T]` where labels need no fitting, else None.
        window_ok: bool `[T]`, whether a whole window of valid features ends here.
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

    @property
    def known(self) -> np.ndarray:
        """Where, `[T]`, the window is whole and the label known."""
        labelled = ~np.isnan(self.scores) if self.labels is None else self.labels != NO_LABEL
        return np.asarray(self.window_ok & labelled & ~np.isnan(self.returns))

    def between(self, start: int, stop: int, window: int) -> SymbolData:
        """The rows that open from start until before stop, in epoch microseconds, with whole windows of this length.

        Raises:
            DataError: there are none.
        """
        keep = (self.timestamps >= start) & (self.timestamps < stop)
        if not keep.any():
            raise DataError(f"{self.symbol} has no rows in the span asked for", "Choose another span, or leave it out")
        changed = {name: getattr(self, name)[keep] for name in _PER_ROW}
        changed["window_ok"][: window - 1] = False  # theirs began before the cut
        return replace(self, labels=None if self.labels is None else self.labels[keep], **changed)


@dataclass(frozen=True)
class Market:
    """All rows of all symbols, before anything is fitted.

    Attributes:
        rows: one entry a symbol.
        feature_names: the columns of `rows[i].features`.
        named: how many of them, at the end, are columns that the user named.
        ignored: columns of the files that nobody named.
        span: from the first bar to the end of the last.
        fingerprint: SHA-256 of the input.
        is_synthetic: whether it is made up.
    """

    rows: tuple[SymbolData, ...]
    feature_names: tuple[str, ...]
    named: int
    ignored: tuple[str, ...]
    span: Span
    fingerprint: str
    is_synthetic: bool


def bars_market(all_bars: Sequence[Bars], config: DataConfig) -> Market:
    """Features, returns and labels of bars cut to one span.

    Raises:
        ConfigError: a named column is not there, or clashes with a feature.
    """
    named = common_named(all_bars, config.features)
    # Features every symbol has: a column that one exchange records is no feature of them all.
    columns = set.intersection(*(set(bars.frame.columns) for bars in all_bars))
    chosen = registry.available_features(sorted(columns))
    clash = sorted({feature.name for feature in chosen} & set(named))
    if clash:
        raise ConfigError(f"The named column(s) {', '.join(clash)} bear the name of a feature", "Rename them")
    found = [symbol_data(bars, chosen, named, config) for bars in all_bars]
    return Market(
        rows=tuple(found),
        feature_names=(*(feature.name for feature in chosen), *named),
        named=len(named),
        ignored=tuple(sorted({name for bars in all_bars for name in bars.ignored})),
        span=market_span(found, all_bars[0].seconds * 1_000_000),
        fingerprint=bars_fingerprint(all_bars),
        is_synthetic=all(bars.exchange == EXCHANGE for bars in all_bars),
    )


def symbol_data(bars: Bars, chosen: Sequence[Feature], named: Sequence[str], config: DataConfig) -> SymbolData:
    """Features, returns and labels of one symbol's bars.

    Args:
        bars: the bars.
        chosen: features to compute.
        named: further columns that are features as they stand.
        config: window, horizon, labels.
    """
    frame = bars.frame
    timestamps = microseconds(frame["timestamp"])
    columns = {name: frame[name].to_numpy() for name in frame.columns[1:]} | {"seconds": timestamps // 1_000_000}
    length = len(frame)
    values = np.empty((length, len(chosen) + len(named)))
    for place, name in enumerate(named):
        values[:, len(chosen) + place] = columns[name]
    returns, trades, scores = (np.full(length, np.nan) for _ in range(3))
    fixed = np.full(length, NO_LABEL, dtype=np.int8)
    window_ok = np.zeros(length, dtype=bool)
    for segment in segments(timestamps, bars.seconds):
        part = {name: column[segment] for name, column in columns.items()}
        with np.errstate(all="ignore"):  # absurd bars overflow; what comes of it is refused below
            values[segment, : len(chosen)], warmup = registry.compute_features(part, chosen)
        returns[segment] = forward_returns(part["close"], config.horizon)
        # A snapshot has no open: a trade enters at its mid price.
        opens = part.get("open", part["close"])
        trades[segment][:-1] = forward_returns(opens, config.horizon)[1:]
        scores[segment] = _scores(part["close"], returns[segment], config)
        if config.labels.kind == "triple_barrier":
            fixed[segment] = _barrier_labels(part, config)
        values[segment][:warmup] = 0.0  # not valid yet, and in no window
        window_ok[segment][warmup + config.window - 1 :] = True
    _check_finite(bars, values, [*(feature.name for feature in chosen), *named])
    ready = _fixed_labels(scores, fixed, config.labels)
    return SymbolData(
        symbol=bars.symbol,
        timestamps=timestamps,
        features=values,
        returns=returns,
        trade_returns=trades,
        log_prices=np.log(columns["close"]),
        scores=scores,
        labels=ready,
        window_ok=window_ok,
    )


def _check_finite(bars: Bars, values: np.ndarray, names: Sequence[str]) -> None:
    """Refuse bars so extreme that a feature overflows: no NaN ever enters a dataset."""
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        name = names[int(np.flatnonzero(~np.isfinite(values[row]))[0])]
        raise DataError(
            f"Feature {name} of {bars.symbol} is not finite at {bars.frame['timestamp'].iloc[row]}",
            "Look for absurd prices or volumes there, and remove the row: gaps are legal",
        )


def _scores(close: np.ndarray, returns: np.ndarray, config: DataConfig) -> np.ndarray:
    if not config.labels.volatility_scaled:
        return returns
    return np.asarray(returns / (volatility(close, config.labels.volatility_span) * np.sqrt(config.horizon)))


def _barrier_labels(part: Columns, config: DataConfig) -> np.ndarray:
    # An order book has no high and low between its snapshots: the path is that of its mid price.
    high, low = (part.get(name, part["close"]) for name in ("high", "low"))
    settings = config.labels
    return triple_barrier(high, low, part["close"], config.horizon, settings.volatility_span, settings.barrier_width)


def _fixed_labels(scores: np.ndarray, barrier: np.ndarray, config: LabelConfig) -> np.ndarray | None:
    match config.kind:
        case "quantile":
            return None
        case "fixed":
            return by_thresholds(scores, *config.fixed)
        case "triple_barrier":
            return barrier


def market_span(found: Sequence[SymbolData], bar: int) -> Span:
    """From the first bar of any symbol to the end of the last; `bar` is the length of a bar in microseconds."""
    return Span(
        min(int(item.timestamps[0]) for item in found), max(int(item.timestamps[-1]) for item in found) + bar, bar
    )
