"""Confidence intervals by drawing blocks of time again (moving-block bootstrap, Künsch 1989).

Rows close in time are not independent: labels overlap, volatility clusters, symbols move together. So whole blocks of
time are drawn, all symbols of an instant together, and everything that is compared is computed on the same draws.

Shapes: T instants, D draws, B blocks of a draw.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np
from scipy.stats import norm, t

DRAWS = 2000
LEVEL = 0.95
MIN_BLOCKS = 20
"""With fewer blocks than this, no interval is given: the data are too short to tell."""
_DAY_SECONDS = 24 * 3600
MIN_HORIZONS = 8
"""A block is at least this number of horizons long, because labels of neighbouring bars overlap."""


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % confidence interval.

    Attributes:
        value: the figure on the data itself.
        low: the lower bound; NaN where there are too few blocks, or where the figure is undefined on a draw.
        high: the upper bound; NaN where `low` is.
    """

    value: float
    low: float
    high: float

    def as_row(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return asdict(self)

    def contains(self, value: float) -> bool:
        """Return whether a value lies within the bounds, which belong to the interval."""
        return self.low <= value <= self.high

    def moved_to(self, value: float) -> Interval:
        """Return the interval of the same width on either side around another value."""
        return Interval(value, self.low - self.value + value, self.high - self.value + value)


def minimum_block_length(horizon: int, bar: int) -> int:
    """Return the fewest bars that a block may have: a day or eight horizons, whichever is longer.

    Args:
        horizon: how far a label looks ahead, in bars.
        bar: length of a bar in microseconds.

    >>> minimum_block_length(horizon=1, bar=300_000_000), minimum_block_length(horizon=48, bar=300_000_000)
    (288, 384)
    """
    return max(MIN_HORIZONS * horizon, ceil(_DAY_SECONDS * 1e6 / bar))


def draw_blocks(
    instants: int, block: int, rng: np.random.Generator, draws: int = DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """Draw blocks of consecutive instants that begin at random, until each draw is as long as the data.

    Args:
        instants: number of instants T, which are in order of time.
        block: length of a block, in instants.
        rng: source of the random starts.
        draws: number of draws D.

    Returns:
        where each block of each draw begins, int `[D, B]`, and how many instants each block of a draw holds, int
        `[B]`: the last one is cut so that they add up to T. D is 0 where there are fewer than `MIN_BLOCKS` blocks.
    """
    blocks = ceil(instants / block)
    lengths = np.full(blocks, block)
    lengths[-1:] = instants - block * (blocks - 1)
    if instants < MIN_BLOCKS * block:
        return np.zeros((0, blocks), dtype=np.int64), lengths
    return rng.integers(0, instants - block + 1, size=(draws, blocks)), lengths


def confidence_interval(draws: np.ndarray, blocks: float) -> Interval:
    """Return the central `LEVEL` of a figure's draws: percentiles, widened for the number of blocks.

    The spread of draws from few blocks is too small, as a variance from few values is: percentiles are moved away from
    the figure by the ratio of Student's quantile to the normal one, and by the root of n / (n - 1).

    Args:
        draws: `[1 + D]`, the figure on the data itself, then on each draw.
        blocks: how many blocks the data hold.

    Returns:
        The interval; without bounds where there are no draws, or the figure is not finite on all of them.
    """
    if len(draws) < 2 or not np.isfinite(draws).all():
        return Interval(float(draws[0]), float("nan"), float("nan"))
    bounds = np.quantile(draws[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = draws[0] + (bounds - draws[0]) * widening(blocks)
    return Interval(float(draws[0]), float(low), float(high))


def widening(blocks: float) -> float:
    """Return the factor by which an interval from a number of blocks must be wider than its draws say."""
    quantile = (1 + LEVEL) / 2
    return float(t.ppf(quantile, blocks - 1) / norm.ppf(quantile) * np.sqrt(blocks / (blocks - 1)))
