"""The probability of backtest overfitting, by combinatorially symmetric cross-validation.

Bailey, Borwein, López de Prado and Zhu 2017, "The Probability of Backtest Overfitting". Time is cut into blocks. For
each way to take half of the blocks, the trial that is best on them is ranked on the other half. Where choosing by
score is worthless, its rank is below the median half of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from core.config import RankingMetric
from search.statistics.weighted_metrics import Predictions, score

BLOCKS = 10
MIN_TRIALS = 10


def symmetric_splits(instants: int, blocks: int = BLOCKS) -> np.ndarray:
    """Return every way to take half of the blocks of time.

    Args:
        instants: number of instants T, which are in order of time.
        blocks: number of blocks, even, into which time is cut.

    Returns:
        bool `[C, T]`, for each of the C combinations whether an instant is taken.
    """
    block_of_instant = np.arange(instants) * blocks // max(instants, 1)
    taken = np.array([np.isin(np.arange(blocks), half) for half in combinations(range(blocks), blocks // 2)])
    return np.asarray(taken[:, block_of_instant])


def overfitting_probability(metric: RankingMetric, trials: Sequence[Predictions]) -> float:
    """Compute the share of splits in which the best trial of one half is below the median on the other half.

    Args:
        metric: metric by which trials are ranked.
        trials: each trial's predictions of the same rows.

    Returns:
        A probability; NaN with fewer than `MIN_TRIALS` trials.
    """
    if len(trials) < MIN_TRIALS:
        return float("nan")
    instants = np.unique(trials[0].instants)
    in_sample = symmetric_splits(len(instants))
    in_sample_scores, out_of_sample_scores = (
        np.stack([score(metric, trial, instants, half.astype(np.float32)) for trial in trials], axis=1)
        for half in (in_sample, ~in_sample)
    )
    return share_below_median(in_sample_scores, out_of_sample_scores)


def share_below_median(in_sample: np.ndarray, out_of_sample: np.ndarray) -> float:
    """Return the share of splits whose best trial in sample is not above the median out of sample.

    Args:
        in_sample: `[C, N]`, scores of N trials on the half of each split that chooses; NaN counts as the worst.
        out_of_sample: `[C, N]`, their scores on the other half; likewise.
    """
    in_sample, out_of_sample = (np.nan_to_num(scores, nan=-np.inf) for scores in (in_sample, out_of_sample))
    best = in_sample.argmax(axis=1)
    rank = rankdata(out_of_sample, axis=1)[np.arange(len(best)), best]
    relative_rank = rank / (out_of_sample.shape[1] + 1)
    return float(np.mean(np.log(relative_rank / (1 - relative_rank)) <= 0))
