"""Confidence intervals by resampling blocks of time (moving-block bootstrap, Künsch 1989).

Rows near in time are not independent: labels overlap, volatility clusters, symbols move together. So whole stretches of
time are drawn, all symbols of an instant together, the same draws for everything that is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np

from core.config import RankingMetric
from search.statistics.weighted_metrics import Predictions, score

DRAWS = 2000
LEVEL = 0.95
MIN_BLOCKS = 5
"""From fewer blocks than this there is no interval."""
_BLOCK_SECONDS = 6 * 3600
_BLOCK_HORIZONS = 8


@dataclass(frozen=True)
class Interval:
    """A figure and the central 95 % of its draws; NaN where there are too few blocks, or a draw does not define it."""

    value: float
    low: float
    high: float

    def as_row(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def holds(self, value: float) -> bool:
        """Whether it lies inside."""
        return self.low <= value <= self.high


def block_length(horizon: int, bar: int) -> int:
    """Bars a block: eight horizons or six hours, whichever is longer.

    Args:
        horizon: h, in bars.
        bar: length of a bar in microseconds.
    """
    return max(_BLOCK_HORIZONS * horizon, ceil(_BLOCK_SECONDS * 1e6 / bar))


def resample(instants: int, block: int, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """How often each instant counts in each draw of blocks; the first row is the data itself, each counted once.

    Args:
        instants: T, in order of time.
        block: instants a block.
        rng: where the draws come from.
        draws: D.

    Returns:
        float32 `[1 + D, T]`, each row adding up to T; only the first row where there are too few blocks.
    """
    itself = np.ones((1, instants), dtype=np.float32)
    if instants < MIN_BLOCKS * block:
        return itself
    count = ceil(instants / block)
    starts = rng.integers(0, instants - block + 1, size=(draws, count))
    lengths = np.full(count, block)
    lengths[-1] = instants - block * (count - 1)
    first = starts + (np.arange(draws) * (instants + 1))[:, None]
    size = draws * (instants + 1)
    edges = np.bincount(first.ravel(), minlength=size) - np.bincount((first + lengths).ravel(), minlength=size)
    counts = edges.reshape(draws, -1)[:, :-1].astype(np.float32).cumsum(axis=1)
    return np.concatenate([itself, counts])


def resample_seeds(seeds: int, rng: np.random.Generator, draws: int = DRAWS) -> np.ndarray:
    """How much each seed counts in each draw, `[1 + D, S]`, each row adding up to 1; first all of them alike."""
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds
    return np.concatenate([np.full((1, seeds), 1 / seeds), drawn])


def draws_of(
    metric: RankingMetric, by_seed: Sequence[Predictions], instants: np.ndarray, weights: np.ndarray, seeds: np.ndarray
) -> np.ndarray:
    """A metric in each draw: of each seed's predictions on the drawn time, then the mean over the drawn seeds.

    Args:
        metric: which.
        by_seed: S predictions of the same rows.
        instants: `[T]`, sorted.
        weights: `[1 + D, T]`, as from `resample`.
        seeds: `[1 + D, S]`, as from `resample_seeds`.

    Returns:
        `[1 + D]`, the figure itself first.
    """
    found = np.stack([score(metric, predictions, instants, weights) for predictions in by_seed], axis=1)
    return np.asarray((found * seeds[: len(found)]).sum(axis=1))


def interval(draws: np.ndarray) -> Interval:
    """The interval of a figure whose draws follow it, `[1 + D]`."""
    if len(draws) < 2 or not np.isfinite(draws).all():
        return Interval(float(draws[0]), float("nan"), float("nan"))
    low, high = np.quantile(draws[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(draws[0]), float(low), float(high))
