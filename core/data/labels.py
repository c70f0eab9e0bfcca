"""Labels, which say as SELL, HOLD or BUY what the market did over the next h bars of the same segment.

Every function takes one segment. Besides bar t, the label of bar t depends on the bars t+1 to t+h alone, and, where a
move is measured in units of volatility, on bars up to t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SELL, HOLD, BUY = 0, 1, 2
CLASSES = ("SELL", "HOLD", "BUY")
NO_LABEL = -1
_MIN_VOLATILITY = 1e-8
"""Lower limit of the one-bar volatility: where nothing moved at all, any move is large, but finite in its units."""


@dataclass(frozen=True)
class FittedLabels:
    """Holds what a training has fitted for its labels, so that later bars can be labelled and weighted alike.

    Attributes:
        thresholds: thresholds of each symbol, fitted on train or given, float64 `[S, 2]`; zeros where labels have none.
        counts: number of train rows of each class, all symbols together, int `[3]`.
    """

    thresholds: np.ndarray
    counts: np.ndarray


def forward_returns(close: np.ndarray, horizon: int) -> np.ndarray:
    """Compute the log return from the close of bar t to that of bar t+h.

    Args:
        close: closing price of each bar, `[T]`.
        horizon: h, the number of bars to look ahead.

    Returns:
        Log returns `[T]`; the last h are NaN, because their future is unknown.

    >>> forward_returns(np.array([1.0, 2.0, 4.0]), horizon=1).round(3).tolist()
    [0.693, 0.693, nan]
    """
    returns = np.full(len(close), np.nan)
    if len(close) > horizon:
        returns[:-horizon] = np.log(close[horizon:] / close[:-horizon])
    return returns


def volatility(close: np.ndarray, span: int) -> np.ndarray:
    """Compute the root mean square of the last `span` one-bar log returns, which is known at t.

    Args:
        close: closing price of each bar, `[T]`.
        span: number of returns to average over.

    Returns:
        Volatility of a one-bar return `[T]`; the first `span` are NaN.
    """
    deviations = np.full(len(close), np.nan)
    if len(close) > span:
        squares = np.diff(np.log(close)) ** 2
        deviations[span:] = np.sqrt(sliding_window_view(squares, span).mean(axis=-1))
    return np.asarray(np.maximum(deviations, _MIN_VOLATILITY))


def quantile_thresholds(train_scores: np.ndarray, quantiles: tuple[float, float]) -> tuple[float, float]:
    """Fit the two thresholds between the classes on the train rows of one symbol.

    Args:
        train_scores: forward returns, or these in units of volatility, `[N]`.
        quantiles: share of scores below each threshold.

    Returns:
        The threshold between SELL and HOLD, and the one between HOLD and BUY.
    """
    low, high = np.quantile(train_scores, quantiles)
    return float(low), float(high)


def by_thresholds(scores: np.ndarray, low: float, high: float) -> np.ndarray:
    """Label scores: SELL below `low`, BUY above `high`, HOLD otherwise; NO_LABEL where the score is NaN.

    Args:
        scores: forward returns, or these in units of volatility, `[T]`.
        low: threshold between SELL and HOLD.
        high: threshold between HOLD and BUY.

    Returns:
        Labels, int8 `[T]`.

    >>> by_thresholds(np.array([-2.0, 0.0, 2.0, np.nan]), low=-1.0, high=1.0) == [SELL, HOLD, BUY, NO_LABEL]
    array([ True,  True,  True,  True])
    """
    labels = np.full(len(scores), HOLD, dtype=np.int8)
    labels[scores < low] = SELL
    labels[scores > high] = BUY
    labels[np.isnan(scores)] = NO_LABEL
    return labels


def triple_barrier(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, horizon: int, span: int, width: float
) -> np.ndarray:
    """Label bars by the barrier that the price touches first.

    From close[t], two barriers lie `width` volatilities of h bars away, one on either side; the third is time. The
    label is BUY if the upper barrier is touched first and SELL if the lower one is. It is HOLD if neither is touched
    within h bars, or if both are touched within one bar, because it is then unknown which was first. López de Prado
    2018, Advances in Financial Machine Learning, ch. 3.

    Args:
        high: highest price of each bar, `[T]`.
        low: lowest price of each bar, `[T]`.
        close: closing price of each bar, `[T]`.
        horizon: h, the number of bars to look ahead.
        span: number of one-bar returns over which volatility is measured.
        width: distance of the barriers, in units of the volatility of h bars.

    Returns:
        Labels, int8 `[T]`; NO_LABEL in the last h bars and where the volatility is not known yet.
    """
    labels = np.full(len(close), HOLD, dtype=np.int8)
    distance = width * volatility(close, span) * np.sqrt(horizon)
    upper, lower = close * np.exp(distance), close * np.exp(-distance)
    untouched = np.ones(len(close), dtype=bool)
    for ahead in range(1, min(horizon, len(close) - 1) + 1):
        up = high[ahead:] >= upper[:-ahead]
        down = low[ahead:] <= lower[:-ahead]
        first = untouched[:-ahead] & (up | down)
        labels[np.flatnonzero(first & ~down)] = BUY
        labels[np.flatnonzero(first & ~up)] = SELL
        untouched[:-ahead] &= ~first
    labels[max(len(close) - horizon, 0) :] = NO_LABEL
    labels[np.isnan(distance)] = NO_LABEL
    return labels
