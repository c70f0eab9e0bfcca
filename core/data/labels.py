"""Labels: what the market did over the next h bars of the same segment, as SELL, HOLD or BUY.

Every function takes one segment and uses, for bar t, only the bars t+1 to t+h (and, for the
volatility in whose units a move is measured, bars up to t).
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SELL, HOLD, BUY = 0, 1, 2
CLASSES = ("SELL", "HOLD", "BUY")
NO_LABEL = -1
_MIN_VOLATILITY = 1e-8
"""Least one-bar volatility: where nothing moved at all, any move is large, yet not infinitely so."""


def forward_returns(close: np.ndarray, horizon: int) -> np.ndarray:
    """Log return from the close of bar t to that of bar t+h.

    Args:
        close: closing prices `[T]`.
        horizon: h, in bars.

    Returns:
        `[T]`; the last h are NaN, for their future is not known.
    """
    result = np.full(len(close), np.nan)
    if len(close) > horizon:
        result[:-horizon] = np.log(close[horizon:] / close[:-horizon])
    return result


def volatility(close: np.ndarray, span: int) -> np.ndarray:
    """Root mean square of the last `span` one-bar log returns, known at t.

    Returns:
        `[T]`; the first `span` are NaN.
    """
    result = np.full(len(close), np.nan)
    if len(close) > span:
        squares = np.diff(np.log(close)) ** 2
        result[span:] = np.sqrt(sliding_window_view(squares, span).mean(axis=-1))
    return np.asarray(np.maximum(result, _MIN_VOLATILITY))


def quantile_thresholds(train_scores: np.ndarray, quantiles: tuple[float, float]) -> tuple[float, float]:
    """The two borders between the classes, fitted on the train rows of one symbol."""
    low, high = np.quantile(train_scores, quantiles)
    return float(low), float(high)


def by_thresholds(scores: np.ndarray, low: float, high: float) -> np.ndarray:
    """SELL below `low`, BUY above `high`, HOLD from the one to the other; NO_LABEL where the score is NaN.

    Args:
        scores: forward returns `[T]`, or such returns in units of volatility.
        low: border between SELL and HOLD.
        high: border between HOLD and BUY.

    Returns:
        int8 `[T]`.
    """
    labels = np.full(len(scores), HOLD, dtype=np.int8)
    labels[scores < low] = SELL
    labels[scores > high] = BUY
    labels[np.isnan(scores)] = NO_LABEL
    return labels


def triple_barrier(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, horizon: int, span: int, width: float
) -> np.ndarray:
    """Which barrier the path touches first. López de Prado 2018, Advances in Financial Machine Learning, ch. 3.

    From close[t], barriers lie `width` volatilities of h bars away on either side; the third is time.
    BUY if the upper is touched first, SELL if the lower, HOLD if neither within h bars, or if both are
    touched within one bar: which was first is then not known.

    Args:
        high: highest prices `[T]`.
        low: lowest prices `[T]`.
        close: closing prices `[T]`.
        horizon: h, in bars.
        span: bars over which volatility is measured.
        width: distance of the barriers.

    Returns:
        int8 `[T]`; NO_LABEL in the last h bars and where volatility is not known yet.
    """
    labels = np.full(len(close), HOLD, dtype=np.int8)
    distance = width * volatility(close, span) * np.sqrt(horizon)
    upper, lower = close * np.exp(distance), close * np.exp(-distance)
    open_ = np.ones(len(close), dtype=bool)
    for ahead in range(1, min(horizon, len(close) - 1) + 1):
        up = high[ahead:] >= upper[:-ahead]
        down = low[ahead:] <= lower[:-ahead]
        first = open_[:-ahead] & (up | down)
        labels[:-ahead][first & up & ~down] = BUY
        labels[:-ahead][first & down & ~up] = SELL
        open_[:-ahead] &= ~first
    labels[max(len(close) - horizon, 0) :] = NO_LABEL
    labels[np.isnan(distance)] = NO_LABEL
    return labels
