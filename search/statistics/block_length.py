"""Chooses from the data how long the blocks of the bootstrap must be.

Blocks shorter than the memory of a figure make its interval too narrow. How long the memory is depends on the figure:
skill that comes and goes with the state of the market is remembered for days, where the rank of single calls is not.
So the length is estimated from the figure's own influence of each stretch of time, by the rule of Politis and White
2004 ("Automatic Block-Length Selection for the Dependent Bootstrap") with the correction of Patton, Politis and White
2009, as the library arch computes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from core.config import RankingMetric
from search.statistics.weighted_metrics import Predictions, score

_STRETCH_SECONDS = 6 * 3600
"""Influence is taken of stretches of this length: single bars hide the memory of days in their noise."""
_MAX_STRETCHES = 1000
_MIN_STRETCHES = 20
"""With fewer stretches than this, the estimate would be noise alone."""


class BlockLengthSelector:
    """Selects the length of blocks by how much each stretch of time moves a figure."""

    def __init__(self, instants: np.ndarray, bar: int, min_block: int) -> None:
        """Cut time into stretches.

        Args:
            instants: int64 `[T]`, the instants of all rows, sorted.
            bar: length of a bar in microseconds.
            min_block: the fewest bars of a block, from `minimum_block_length`.
        """
        self._instants = instants
        self._min_block = min_block
        self._stretch = max(ceil(_STRETCH_SECONDS * 1e6 / bar), ceil(len(instants) / _MAX_STRETCHES))

    def of_metric(self, metric: RankingMetric, by_seed: Sequence[Predictions]) -> np.ndarray:
        """Return the influence of each stretch on a metric: the metric of all rows less that without the stretch.

        Args:
            metric: the metric.
            by_seed: predictions of the same rows by models that differ in their seed; their mean is the figure.

        Returns:
            float64 `[G]`, in the order of time; an incomplete last stretch is left out.
        """
        count = len(self._instants)
        kept = np.arange(count) // self._stretch != np.arange(count // self._stretch)[:, None]
        weights = np.concatenate([np.ones((1, count)), kept]).astype(np.float32)
        scores = np.mean([score(metric, predictions, self._instants, weights) for predictions in by_seed], axis=0)
        return np.asarray(scores[0] - scores[1:])

    def block_length(self, influences: Sequence[np.ndarray]) -> int:
        """Return the length of the blocks for several figures: the longest that one of them needs.

        Args:
            influences: of each figure, the influence of each stretch of time on it, `[G]`.

        Returns:
            the length in bars, at least the `min_block`.
        """
        return max([self._min_block, *(ceil(self._stretch * _politis_white(values)) for values in influences)])


def _politis_white(values: np.ndarray) -> float:
    """Return the block length that a series `[G]` needs, in its own steps; 0 where it cannot be estimated."""
    from arch.bootstrap import optimal_block_length  # loads statsmodels, which takes a second

    if len(values) < _MIN_STRETCHES or not np.isfinite(values).all() or np.ptp(values) == 0:
        return 0.0
    return float(optimal_block_length(values)["circular"].iloc[0])
