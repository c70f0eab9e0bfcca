"""Rolling statistics whose value depends on its window and on nothing before it.

A running sum keeps the rounding error of every outlier that has left it. Here a sum over n values is joined from sums
over 1, 2, 4… values instead: that takes log2(n) passes, and gives the same bits wherever the history began. Every
function takes and returns `[T]`. The rows in front, whose window is not full, hold the statistic of their own value
alone, so that what is computed from them stays finite and causal.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from core.data.file_format import Array, Columns

State = tuple[Array, ...]
"""Statistics of windows of one length: `state[k][i]` is the k-th statistic of the window that begins at value i."""
MIN_MOVE = 1e-6
"""A log return of a hundredth of a basis point, which is negligible. It is added to volatilities, so that bars without
any move have a logarithm, and to sums of moves in denominators, so that old moves fade from a ratio of exponential
means: without it, bars that do not move would remember them for ever."""
MIN_SHARE = 0.01
"""Added to a share of the average volume before its logarithm, so that a bar without volume has a finite one."""
_FORGOTTEN = 1e-13
"""Weight at which an exponential mean has forgotten a value: a jump of 0.8 in log price, divided by MIN_MOVE, then
leaves less than 1e-7."""


def lagged(values: Array, rows: int) -> Array:
    """Shift values by a number of rows; the first rows, which have no earlier value, take the first one."""
    return np.concatenate([np.full(rows, values[0]), values[: len(values) - rows]])


def quotient(numerator: Array, denominator: Array, otherwise: float = 0.0) -> Array:
    """Divide two arrays; the result is `otherwise` where the denominator is not positive."""
    positive = denominator > 0
    return np.asarray(np.divide(numerator, denominator, out=np.full(len(numerator), otherwise), where=positive))


def log_share(value: Array, average: Array) -> Array:
    """Compute the log of a volume over its average; a volume counts as average where the average is 0."""
    return np.asarray(np.log(quotient(value, average, otherwise=1.0) + MIN_SHARE))


def log_move(size: Array) -> Array:
    """Compute the log of the size of a move, given as a log return."""
    return np.asarray(np.log(size + MIN_MOVE))


def log_return(bars: Columns, span: int = 1) -> Array:
    """Compute the log return over `span` bars."""
    close = np.log(bars["close"])
    return np.asarray(close - lagged(close, span))


def mean(values: Array, span: int) -> Array:
    """Compute the mean of the last `span` values."""
    (total,) = _join_windows((values,), span, lambda a, b, _na, _nb: (a[0] + b[0],))
    return np.concatenate([values[: span - 1], total / span])


def deviation(values: Array, span: int) -> Array:
    """Compute the standard deviation of the last `span` values; it is exactly 0 where they are equal."""
    _, _, squares, _, _ = _join_windows(_single(values, values), span, _join_moments)
    return np.concatenate([np.zeros(span - 1), np.sqrt(squares / span)])


def correlation(x: Array, y: Array, span: int, x_floor: float | Array, y_floor: float | Array) -> Array:
    """Compute the correlation of the last `span` pairs of values, in [-1, 1].

    Args:
        x: first value of each pair, `[T]`.
        y: second value of each pair, `[T]`.
        span: number of pairs in a window.
        x_floor: standard deviation below which x counts as constant, so that the correlation goes to 0; a number or
            `[T]`.
        y_floor: standard deviation below which y counts as constant; a number or `[T]`.
    """
    _, _, *sums = _join_windows(_single(x, y), span, _join_moments)
    xx, yy, xy = (np.concatenate([np.zeros(span - 1), part / span]) for part in sums)
    return quotient(xy, np.sqrt((xx + x_floor**2) * (yy + y_floor**2)))


def forgetting(period: int, stages: int = 1) -> int:
    """Return the number of rows after which Wilder's exponential mean has forgotten everything before them.

    Args:
        period: period of the mean; its weight of a new value is 1/period.
        stages: how many such means are applied, each to the result of the one before.
    """
    # Stages share one decay, so that the error of n of them has a factor (t/period)^(n-1) in front of it.
    return int(np.ceil(np.log(_FORGOTTEN / 100 ** (stages - 1)) / np.log(1 - 1 / period)))


Join = Callable[[State, State, int, int], State]
"""Statistics of two adjoining windows, the earlier and the later, of na and nb values, to those of both together."""


def _join_windows(single: State, span: int, join: Join) -> State:
    """Compute the statistics of every full window of `span` values.

    Windows of 1, 2, 4, 8… values are each joined from two of half their length. The window of `span` values is joined
    from those whose lengths are the powers of two that add up to `span`, the shortest first; for 13 = 1 + 4 + 8:

        value     i   i+1 … i+4   i+5      …      i+12
        windows  |1|      4      |          8         |

    Args:
        single: statistics of each value alone.
        span: length of the windows.
        join: function that joins two adjoining windows.
    """
    power, length = single, 1
    total, covered = single, 0
    while True:
        if span & length:
            total = _join_adjoining(total, power, covered, length, join) if covered else power
            covered += length
        if covered == span:
            return total
        power = _join_adjoining(power, power, length, length, join)
        length *= 2


def _join_adjoining(earlier: State, later: State, na: int, nb: int, join: Join) -> State:
    """Join each window of na values with the window of nb values that begins right after it."""
    following = tuple(statistic[na:] for statistic in later)
    preceding = tuple(statistic[: len(following[0])] for statistic in earlier)
    return join(preceding, following, na, nb)


def _single(x: Array, y: Array) -> State:
    """Return the means and the central sums (xx, yy, xy) of each pair alone: the sums are 0."""
    zeros = np.zeros(len(x))
    return x, y, zeros, zeros, zeros


def _join_moments(a: State, b: State, na: int, nb: int) -> State:
    """Join means and central sums as Chan, Golub & LeVeque 1983: no difference of large squares loses digits."""
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
