"""How far ahead of the others the best of many trials comes by luck alone, where all of them are equally good.

Shapes: N trials, B blocks of time.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm


@cache
def expected_maximum(count: int) -> float:
    """Compute the mean of the largest of some independent standard normal numbers.

    Args:
        count: how many numbers there are, at least one.
    """
    value, _ = quad(lambda x: x * count * norm.pdf(x) * norm.cdf(x) ** (count - 1), -10.0, 10.0, limit=200)
    return float(value)


def lead_by_luck(block_scores: np.ndarray) -> float:
    """Compute by how much the best of equally good trials is expected to exceed their mean, on the same blocks of time.

    What a block does to all trials alike is no luck of one of them, and is taken out first; so is the mean of each
    trial. What is left varies between blocks by luck. Blocks are taken for independent, and so are trials: where
    trials err alike, the true figure is smaller.

    Args:
        block_scores: score of each trial on each block of time, `[N, B]`. Blocks on which a trial has no finite score
            are left out.

    Returns:
        the lead, in the unit of the scores; NaN with fewer than two trials or two usable blocks.
    """
    usable = block_scores[:, np.isfinite(block_scores).all(axis=0)]
    trials, blocks = usable.shape
    if trials < 2 or blocks < 2:
        return float("nan")
    left = usable - usable.mean(axis=1, keepdims=True) - usable.mean(axis=0, keepdims=True) + usable.mean()
    variance = float((left**2).sum()) / ((trials - 1) * (blocks - 1))
    return expected_maximum(trials) * float(np.sqrt(variance / blocks))
