"""Confidence intervals by resampling blocks of time (moving-block bootstrap, Künsch 1989).

Rows close in time are not independent: labels overlap, volatility clusters, symbols move together. So whole blocks of
time are drawn, all symbols of an instant together, and everything that is compared is computed on the same draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np
from scipy.stats import norm, t

from core.config import RankingMetric
from search.statistics.weighted_metrics import Predictions, score

DRAWS = 2000
LEVEL = 0.95
MIN_BLOCKS = 20
"""With fewer blocks than this, no interval is given: the data are too short to tell."""


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


@dataclass(frozen=True)
class Resampling:
    """Draws of blocks of time.

    Attributes:
        weights: float32 `[1 + D, T]`, how often each draw holds each instant; the first row is the data itself.
        block: length of a block, in instants.
    """

    weights: np.ndarray
    block: int

    @property
    def blocks(self) -> float:
        """How many blocks the data hold, a fraction included."""
        return int(self.weights.shape[1]) / self.block


def resample(instants: int, block: int, rng: np.random.Generator, draws: int = DRAWS) -> Resampling:
    """Draw blocks of time with replacement, and count how often each draw holds each instant.

    A draw is made of blocks of consecutive instants that begin at random; the last block is cut so that the draw is
    as long as the data.

    Args:
        instants: number of instants T, which are in order of time.
        block: length of a block, in instants.
        rng: source of the random starts.
        draws: number of draws D.

    Returns:
        the draws, each of whose weights add up to T. The first is the data itself, each instant counted once; it is
        the only one where there are fewer than `MIN_BLOCKS` blocks.
    """
    original = np.ones((1, instants), dtype=np.float32)
    if instants < MIN_BLOCKS * block:
        return Resampling(original, block)
    blocks = ceil(instants / block)
    starts = rng.integers(0, instants - block + 1, size=(draws, blocks))
    lengths = np.full(blocks, block)
    lengths[-1] = instants - block * (blocks - 1)
    return Resampling(np.concatenate([original, _count_coverage(starts, lengths, instants)]), block)


def _count_coverage(starts: np.ndarray, lengths: np.ndarray, instants: int) -> np.ndarray:
    """Count how many blocks of each draw cover each instant.

    Counting block by block would be slow, so only the edges of the blocks are counted: +1 where a block begins, -1
    just behind its end. The running sum of the edges is then the number of blocks that cover an instant. Of five
    instants and the blocks 2-4 and 1-2, for example:

        edges:        0  +1  +1  -1   0  -1
        running sum:  0   1   2   1   1  (0)

    The sixth place takes the ends of blocks that reach to the last instant, and is dropped.

    Args:
        starts: int `[D, B]`, where each block of each draw begins.
        lengths: int `[B]`, how many instants each block of a draw holds.
        instants: number of instants T.

    Returns:
        float32 `[D, T]`.
    """
    draws, row_length = len(starts), instants + 1
    # One bincount counts the edges of all draws: draw d has the places d * row_length … (d + 1) * row_length - 1.
    begins = starts + (np.arange(draws) * row_length)[:, None]
    ends = begins + lengths
    size = draws * row_length
    edges = np.bincount(begins.ravel(), minlength=size) - np.bincount(ends.ravel(), minlength=size)
    return np.asarray(edges.reshape(draws, row_length)[:, :-1].astype(np.float32).cumsum(axis=1))


def resample_seeds(seeds: int, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """Draw seeds with replacement, and return the weight of each seed in each draw.

    Args:
        seeds: number of seeds S.
        rng: source of the draws.
        draws: number of draws D.

    Returns:
        float64 `[1 + D, S]`, each row adding up to 1; in the first row all seeds weigh the same.
    """
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds
    return np.concatenate([np.full((1, seeds), 1 / seeds), drawn])


def score_draws(
    metric: RankingMetric,
    by_seed: Sequence[Predictions],
    instants: np.ndarray,
    weights: np.ndarray,
    seed_weights: np.ndarray,
) -> np.ndarray:
    """Compute a metric in each draw: of each seed's predictions on the drawn time, then the mean over the drawn seeds.

    Args:
        metric: the metric to compute.
        by_seed: predictions of the same rows by S models, which differ in their seed.
        instants: int64 `[T]`, the instants of the rows, sorted.
        weights: `[1 + D, T]` or `[1, T]`, how often each instant counts, as returned by `resample`.
        seed_weights: `[1 + D, S]`, how much each seed counts, as returned by `resample_seeds`.

    Returns:
        float64, one value for each row of `weights`; the first is the figure on the data itself.
    """
    scores = np.stack([score(metric, predictions, instants, weights) for predictions in by_seed], axis=1)
    # Too short a time yields the data itself and no draws; then there are no draws of the seeds either.
    return np.asarray((scores * seed_weights[: len(scores)]).sum(axis=1))


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
    low, high = draws[0] + (bounds - draws[0]) * _widening(blocks)
    return Interval(float(draws[0]), float(low), float(high))


def simultaneous_intervals(draws: np.ndarray, blocks: float) -> list[Interval]:
    """Return intervals that hold all figures at once with probability `LEVEL`: the best of them may then be chosen.

    The width comes from the largest deviation of all figures in each draw, in units of their standard errors (the
    max-statistic; Romano and Wolf 2005, "Stepwise Multiple Testing as Formalized Data Snooping").

    Args:
        draws: `[K, 1 + D]`, K figures on the data itself, then on the same draws.
        blocks: how many blocks the data hold.

    Returns:
        an interval for each figure; without bounds where there are no draws, or a figure is not finite on one.
    """
    values = draws[:, 0]
    if draws.shape[1] < 2 or not np.isfinite(draws).all():
        return [Interval(float(value), float("nan"), float("nan")) for value in values]
    deviations = draws[:, 1:] - values[:, None]
    errors = deviations.std(axis=1)
    largest = np.abs(deviations / np.where(errors > 0, errors, 1.0)[:, None]).max(axis=0)
    widths = np.quantile(largest, LEVEL) * errors * _widening(blocks)
    return [Interval(float(v), float(v - width), float(v + width)) for v, width in zip(values, widths, strict=True)]


def _widening(blocks: float) -> float:
    """Return the factor by which an interval from a number of blocks must be wider than its draws say."""
    quantile = (1 + LEVEL) / 2
    return float(t.ppf(quantile, blocks - 1) / norm.ppf(quantile) * np.sqrt(blocks / (blocks - 1)))
