"""Blocks of time: the score of predictions on each of several consecutive stretches of the rows' time.

A search keeps these scores of every trial, to measure how far choosing the best trial is choosing luck.

Shapes: N rows, B blocks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

TIME_BLOCKS = 10
"""Number of blocks; even, so that half of them can be compared with the other half."""


def split_halves(timestamps: np.ndarray) -> list[np.ndarray]:
    """Split rows into the earlier and the later half of their time.

    Args:
        timestamps: instants of the rows in any unit, `[N]`.

    Returns:
        two masks, bool `[N]`, the earlier half first; none where the rows cannot be halved.
    """
    early = timestamps <= np.median(timestamps) if len(timestamps) else np.zeros(0, dtype=bool)
    return [early, ~early] if early.any() and not early.all() else []


def split_time_blocks(timestamps: np.ndarray, blocks: int = TIME_BLOCKS) -> list[np.ndarray]:
    """Split rows into consecutive blocks of time with equally many instants, or one more or less.

    Rows of one instant, such as those of several symbols, are in the same block.

    Args:
        timestamps: instants of the rows in any unit and any order, `[N]`.
        blocks: number of blocks B.

    Returns:
        indices of the rows of each block, the earliest block first; a block is empty where there are fewer than B
        instants.

    >>> [block.tolist() for block in split_time_blocks(np.array([10, 20, 30, 40, 10, 20]), blocks=2)]
    [[0, 1, 4, 5], [2, 3]]
    """
    instants, instant_of_row = np.unique(timestamps, return_inverse=True)
    block_of_row = instant_of_row * blocks // max(len(instants), 1)
    return [np.flatnonzero(block_of_row == block) for block in range(blocks)]


def score_time_blocks(
    timestamps: np.ndarray, score: Callable[[np.ndarray], float], blocks: int = TIME_BLOCKS
) -> tuple[float, ...]:
    """Compute a score on each block of time.

    Args:
        timestamps: instants of the rows in any unit, `[N]`.
        score: function of the indices of some rows that returns their score; NaN where they do not define it.
        blocks: number of blocks B.

    Returns:
        the scores, the earliest block first, B of them; NaN for a block that has no row or does not define the score.
        Whoever averages them skips NaN.
    """
    return tuple(score(indices) if len(indices) else float("nan") for indices in split_time_blocks(timestamps, blocks))
