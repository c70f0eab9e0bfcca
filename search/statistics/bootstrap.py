"""Draws of blocks of time and of seeds, and the metrics of several models on the same draws.

How blocks are drawn, and what interval follows from a figure's draws, is in `core.evaluation.block_bootstrap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from core.config import RankingMetric
from core.evaluation.block_bootstrap import DRAWS, LEVEL, Interval, draw_blocks, widening
from search.statistics.weighted_metrics import Predictions, score


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
    starts, lengths = draw_blocks(instants, block, rng, draws)
    if len(starts) == 0:
        return Resampling(original, block)
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


def simultaneous_intervals(draws: np.ndarray, blocks: float, dropped: int = 0) -> list[Interval]:
    """Return intervals that hold all figures at once with probability `LEVEL`: the best of them may then be chosen.

    The width comes from the largest deviation of all figures in each draw, in units of their standard errors (the
    max-statistic; Romano and Wolf 2005, "Stepwise Multiple Testing as Formalized Data Snooping"). Figures that were
    dropped earlier because they were behind the others count, too: the rest were chosen among them. Of each, a standard
    normal deviation that is independent of all others is assumed, which errs on the side of width (Šidák 1967).

    Args:
        draws: `[K, 1 + D]`, K figures on the data itself, then on the same draws.
        blocks: how many blocks the data hold.
        dropped: number of figures that the K were chosen among, beside themselves.

    Returns:
        an interval for each figure; without bounds where there are no draws, or a figure is not finite on one.
    """
    values = draws[:, 0]
    if draws.shape[1] < 2 or not np.isfinite(draws).all():
        return [Interval(float(value), float("nan"), float("nan")) for value in values]
    deviations = draws[:, 1:] - values[:, None]
    errors = deviations.std(axis=1)
    largest = np.abs(deviations / np.where(errors > 0, errors, 1.0)[:, None]).max(axis=0)
    widths = _max_quantile(largest, dropped) * errors * widening(blocks)
    return [Interval(float(v), float(v - width), float(v + width)) for v, width in zip(values, widths, strict=True)]


def _max_quantile(largest: np.ndarray, dropped: int) -> float:
    """Return the quantile at `LEVEL` of the largest of two deviations: of a draw's, and of independent normal ones.

    Args:
        largest: float `[D]`, the largest absolute deviation of each draw.
        dropped: number of independent standard normal deviations beside them.
    """
    if dropped == 0:
        return float(np.quantile(largest, LEVEL))

    def excess(width: float) -> float:
        return float((largest <= width).mean() * (1 - 2 * norm.sf(width)) ** dropped) - LEVEL

    return float(brentq(excess, 0.0, max(largest.max(), -norm.ppf(1e-12))))
