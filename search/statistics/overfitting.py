"""The probability of backtest overfitting, by combinatorially symmetric cross-validation (CSCV).

Bailey, Borwein, López de Prado and Zhu 2017, "The Probability of Backtest Overfitting". For each way to take half of
the blocks of time, the trial that is best on them is ranked on the other half. Where choosing by score is worthless,
its rank is below the median half of the time.

All trials that were compared belong here, not only those that survived an early stopping on the same rows: among these,
whoever is good on one half had to be less good on the other, which looks like overfitting.

Shapes: N trials, B blocks, C splits.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

MIN_TRIALS = 10


def symmetric_splits(blocks: int) -> np.ndarray:
    """Return every way to take half of the blocks: bool `[C, B]`, of an even number of blocks B."""
    halves = np.array(list(combinations(range(blocks), blocks // 2)))
    is_taken = np.zeros((len(halves), blocks), dtype=bool)
    np.put_along_axis(is_taken, halves, values=True, axis=1)
    return is_taken


def overfitting_probability(block_scores: np.ndarray) -> float:
    """Compute the share of splits in which the best trial of one half is below the median on the other half.

    The score of a half is the mean of its blocks.

    Args:
        block_scores: the score of each trial on each block of time, higher is better, `[N, B]`, B even. A block whose
            score is not finite is left out of the mean of its half.

    Returns:
        a probability; NaN with fewer than `MIN_TRIALS` trials, or where no half has a score.
    """
    if len(block_scores) < MIN_TRIALS:
        return float("nan")
    in_sample = symmetric_splits(block_scores.shape[1])
    return share_below_median(_mean_scores(block_scores, in_sample), _mean_scores(block_scores, ~in_sample))


def _mean_scores(block_scores: np.ndarray, halves: np.ndarray) -> np.ndarray:
    """Return the mean score of each trial over the blocks `[C, B]` of each half, `[C, N]`; NaN where there is none."""
    is_defined = np.isfinite(block_scores)
    scores = np.where(is_defined, block_scores, 0.0)
    sums = np.zeros((len(halves), len(scores)))
    for block in range(scores.shape[1]):  # in the same order for all: equal trials get equal sums, to the last bit
        sums += halves[:, block, None] * scores[:, block]
    counts = halves.astype(np.int64) @ is_defined.T
    return np.asarray(np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0))


def share_below_median(in_sample: np.ndarray, out_of_sample: np.ndarray) -> float:
    """Return the share of splits whose best trial in sample is below the median out of sample.

    Of trials that are equally good in sample the first counts as the best; of equally good ones out of sample each has
    the mean of their ranks. A rank at the median itself counts half, so that without skill the share is one half for
    any number of trials.

    Args:
        in_sample: `[C, N]`, scores of N trials on the half of each split that chooses; NaN counts as the worst.
        out_of_sample: `[C, N]`, their scores on the other half; likewise.

    Returns:
        a share; NaN where no split has a trial with a score on both of its halves. A split in which one half gives no
        trial a score is left out.
    """
    is_usable = np.isfinite(in_sample).any(axis=1) & np.isfinite(out_of_sample).any(axis=1)
    if not is_usable.any():
        return float("nan")
    in_sample, out_of_sample = (np.nan_to_num(half[is_usable], nan=-np.inf) for half in (in_sample, out_of_sample))
    chosen = np.take_along_axis(out_of_sample, in_sample.argmax(axis=1, keepdims=True), axis=1)
    below, above = (out_of_sample < chosen).sum(axis=1), (out_of_sample > chosen).sum(axis=1)
    return float(np.mean((below < above) + 0.5 * (below == above)))
