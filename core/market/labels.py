"""Labels: what the market did over the next h bars of the same segment, as SELL, HOLD or BUY."""

from __future__ import annotations

import numpy as np

SELL, HOLD, BUY = 0, 1, 2
CLASSES = ("SELL", "HOLD", "BUY")
NO_LABEL = -1


def forward_returns(close: np.ndarray, horizon: int) -> np.ndarray:
    """Log return from the close of bar t to that of bar t+h, for one segment.

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


def quantile_thresholds(train_returns: np.ndarray, quantiles: tuple[float, float]) -> tuple[float, float]:
    """The two borders between the classes, fitted on the forward returns of the train rows of one symbol."""
    low, high = np.quantile(train_returns, quantiles)
    return float(low), float(high)


def by_thresholds(returns: np.ndarray, low: float, high: float) -> np.ndarray:
    """SELL below `low`, BUY above `high`, HOLD from the one to the other; NO_LABEL where the return is NaN.

    Returns:
        int8 `[T]`.
    """
    labels = np.full(len(returns), HOLD, dtype=np.int8)
    labels[returns < low] = SELL
    labels[returns > high] = BUY
    labels[np.isnan(returns)] = NO_LABEL
    return labels
