"""Computes the statistics of a confirmation, in pure functions over arrays."""

from search.statistics.block_length import BlockLengthSelector
from search.statistics.bootstrap import (
    Resampling,
    resample,
    resample_seeds,
    score_draws,
    simultaneous_intervals,
)
from search.statistics.certification import (
    CandidateScore,
    Comparison,
    FinalTestResult,
    Gate,
    best_candidate,
    certification_gates,
    certification_status,
    score_candidates,
    score_final_test,
)
from search.statistics.luck import lead_by_luck
from search.statistics.overfitting import overfitting_probability
from search.statistics.racing import Noise, drop_to_neighbours, gaps_to_best, pooled_noise
from search.statistics.sharpe import probabilistic_sharpe, sharpe_ratio
from search.statistics.weighted_metrics import Predictions, unweighted_score

__all__ = [
    "BlockLengthSelector",
    "CandidateScore",
    "Comparison",
    "FinalTestResult",
    "Gate",
    "Noise",
    "Predictions",
    "Resampling",
    "best_candidate",
    "certification_gates",
    "certification_status",
    "drop_to_neighbours",
    "gaps_to_best",
    "lead_by_luck",
    "overfitting_probability",
    "pooled_noise",
    "probabilistic_sharpe",
    "resample",
    "resample_seeds",
    "score_candidates",
    "score_draws",
    "score_final_test",
    "sharpe_ratio",
    "simultaneous_intervals",
    "unweighted_score",
]
