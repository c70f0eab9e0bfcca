"""The probability of backtest overfitting, by combinatorially symmetric cross-validation.

Bailey, Borwein, López de Prado and Zhu 2017, "The Probability of Backtest Overfitting". Time is cut into blocks; of
each half of the blocks the best trial is found, and its rank on the other half looked up. Where choosing means
nothing, it is below the middle half of the time.
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


def halvings(instants: int, blocks: int = BLOCKS) -> np.ndarray:
    """Each way to take half of the blocks of time, as bool `[C, T]`."""
    block = np.arange(instants) * blocks // max(instants, 1)
    chosen = np.array([np.isin(np.arange(blocks), half) for half in combinations(range(blocks), blocks // 2)])
    return np.asarray(chosen[:, block])


def overfitting_probability(metric: RankingMetric, trials: Sequence[Predictions]) -> float:
    """Share of the halvings in which the best trial of one half is below the middle on the other.

    Args:
        metric: by which trials are ranked.
        trials: predictions of the same rows, one a trial.

    Returns:
        NaN with fewer than `LEAST_TRIALS` of them.
    """
    if len(trials) < MIN_TRIALS:
        return float("nan")
    instants = np.unique(trials[0].instants)
    inside = halvings(len(instants))
    here, there = (
        np.stack([score(metric, trial, instants, half.astype(np.float32)) for trial in trials], axis=1)
        for half in (inside, ~inside)
    )
    return probability(here, there)


def probability(here: np.ndarray, there: np.ndarray) -> float:
    """The share, from scores `[C, N]` of N trials on each half and on the other."""
    here, there = np.nan_to_num(here, nan=-np.inf), np.nan_to_num(there, nan=-np.inf)
    best = here.argmax(axis=1)
    rank = rankdata(there, axis=1)[np.arange(len(best)), best]
    share = rank / (there.shape[1] + 1)
    return float(np.mean(np.log(share / (1 - share)) <= 0))
