"""Computes the statistics of a confirmation, in pure functions over arrays."""

from search.statistics.bootstrap import (
    Interval,
    block_length,
    confidence_interval,
    resample,
    resample_seeds,
    score_draws,
)
from search.statistics.certification import (
    CandidateScore,
    FinalTestResult,
    Gate,
    best_candidate,
    certification_gates,
    score_candidates,
    score_final_test,
)
from search.statistics.overfitting import overfitting_probability
from search.statistics.sharpe import deflated_sharpe, sharpe_ratio
from search.statistics.weighted_metrics import Predictions, unweighted_score

__all__ = [
    "CandidateScore",
    "FinalTestResult",
    "Gate",
    "Interval",
    "Predictions",
    "best_candidate",
    "block_length",
    "certification_gates",
    "confidence_interval",
    "deflated_sharpe",
    "overfitting_probability",
    "resample",
    "resample_seeds",
    "score_candidates",
    "score_draws",
    "score_final_test",
    "sharpe_ratio",
    "unweighted_score",
]
