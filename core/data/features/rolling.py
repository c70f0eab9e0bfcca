"""Rolling statistics that forget: a value depends on its window, on nothing before it.

A running sum keeps the rounding error of every outlier that has left it. Here a sum over n values is
joined from sums over 1, 2, 4… values instead: log2(n) passes, and the same bits wherever the history
began. Every function takes and gives `[T]`; the rows in front, whose window is not full, hold the statistic
of their own value alone, so that what is computed from them stays finite, and causal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.data.file_format import Array, Columns

State = tuple[Array, ...]
MIN_MOVE = 1e-6
"""A hundredth of a basis point: a log return that counts as none beside. Added to volatilities, so that bars
without any move have a logarithm, and to sums of moves that divide, so that moves long past fade from a
quotient of exponential means: without it, bars that stand still would remember them for ever."""
MIN_SHARE = 0.01
"""Added to a share of the usual volume before its logarithm: a bar without volume is not infinitely quiet."""
_FORGOTTEN = 1e-13
"""Weight at which an exponential mean has forgotten: a jump of 0.8 in log price, over SMALLEST_MOVE, then leaves
less than 1e-7."""


def lagged(values: Array, rows: int) -> Array:
    """The value that many rows ago; the first one before there was any."""
    return np.concatenate([np.full(rows, values[0]), values[: len(values) - rows]])


def quotient(top: Array, bottom: Array, otherwise: float = 0.0) -> Array:
    """Top over bottom; `otherwise` where bottom is not positive."""
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), otherwise), where=bottom > 0))


def log_share(value: Array, usual: Array) -> Array:
    """Log of a volume over a usual volume; where nothing is usual, nothing is unusual."""
    return np.asarray(np.log(quotient(value, usual, otherwise=1.0) + MIN_SHARE))


def log_move(size: Array) -> Array:
    """Log of the size of a move, as a log return."""
    return np.asarray(np.log(size + MIN_MOVE))


def log_return(bars: Columns, span: int = 1) -> Array:
    """Log return over `span` bars."""
    close = np.log(bars["close"])
    return np.asarray(close - lagged(close, span))


def mean(values: Array, span: int) -> Array:
    """Mean over the last `span` values."""
    (total,) = _windows((values,), span, lambda a, b, _na, _nb: (a[0] + b[0],))
    return np.concatenate([values[: span - 1], total / span])


def deviation(values: Array, span: int) -> Array:
    """Standard deviation over the last `span` values; exactly 0 over equal ones."""
    _, _, squares, _, _ = _windows(_single(values, values), span, _join_moments)
    return np.concatenate([np.zeros(span - 1), np.sqrt(squares / span)])


def correlation(x: Array, y: Array, span: int, x_floor: float | Array, y_floor: float | Array) -> Array:
    """Correlation over the last `span` pairs, in [-1, 1].

    Args:
        x: `[T]`.
        y: `[T]`.
        span: number of pairs.
        x_floor: standard deviation, one or `[T]`, below which x counts as constant: the correlation goes to 0.
        y_floor: likewise for y.
    """
    _, _, *sums = _windows(_single(x, y), span, _join_moments)
    xx, yy, xy = (np.concatenate([np.zeros(span - 1), part / span]) for part in sums)
    return quotient(xy, np.sqrt((xx + x_floor**2) * (yy + y_floor**2)))


def forgetting(period: int, stages: int = 1) -> int:
    """Rows after which Wilder's exponential mean (weight 1/period) has forgotten what was before them.

    Args:
        period: of the mean.
        stages: how many such means are applied one to the other's result.
    """
    # Stages share one decay, so that the error of n of them has a factor (t/period)^(n-1) in front of it.
    return int(np.ceil(np.log(_FORGOTTEN / 100 ** (stages - 1)) / np.log(1 - 1 / period)))


def _windows(single: State, span: int, join: Callable[[State, State, int, int], State]) -> State:
    """Statistics of every full window of `span` values, joined from those of windows of 1, 2, 4… values.

    Args:
        single: the statistics of each value alone; `state[i]` covers the values from i on.
        span: length of the windows.
        join: statistics of two adjoining windows, earlier and later, of na and nb values, to that of both.
    """
    block, width = single, 1
    whole, covered = single, 0
    while True:
        if span & width:
            if covered:
                later = tuple(part[covered:] for part in block)
                whole = join(tuple(part[: len(later[0])] for part in whole), later, covered, width)
            else:
                whole = block
            covered += width
        if covered == span:
            return whole
        earlier, later = (tuple(part[:-width] for part in block), tuple(part[width:] for part in block))
        block = join(earlier, later, width, width)
        width *= 2


def _single(x: Array, y: Array) -> State:
    """Means and central sums (xx, yy, xy) of each pair alone."""
    nothing = np.zeros(len(x))
    return x, y, nothing, nothing, nothing


def _join_moments(a: State, b: State, na: int, nb: int) -> State:
    """Chan, Golub & LeVeque 1983: no difference of large squares, so nothing is cancelled."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    weight = na * nb / (na + nb)
    share = nb / (na + nb)
    return (
        a[0] + dx * share,
        a[1] + dy * share,
        a[2] + b[2] + dx * dx * weight,
        a[3] + b[3] + dy * dy * weight,
        a[4] + b[4] + dx * dy * weight,
    )
