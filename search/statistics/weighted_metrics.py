"""Computes a metric under many weightings of time at once, as resampling and splitting time require.

Shapes: N predicted rows, T instants, D weightings. The weights `[D, T]` say how often each instant counts; all symbols
of an instant count together. Where every weight is 1, a metric equals that of `core.evaluation.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from core.config import RankingMetric
from core.data.labels import BUY, CLASSES, HOLD
from core.evaluation.confusion import CALL_METRICS, ratio
from core.evaluation.metrics import direction_score

_CLASSES = len(CLASSES)
_CHUNK = 250
"""Weightings computed at a time where the matrix of all weightings by all rows would be large."""
_YEAR = 365 * 86_400e6


@dataclass(frozen=True)
class Predictions:
    """The predictions of one model for a set of rows.

    Attributes:
        instants: int64 `[N]`, the opening time of each row's bar in epoch microseconds.
        labels: int `[N]`, the class of each row.
        probabilities: float64 `[N, 3]`, not calibrated.
        calls: int `[N]`, the called class of each row; by default the most probable one.
        folds: int `[N]`, the fold of each row, whose training predicted it; by default all rows are of one.
        losses: float64 `[N]`, cross-entropy of the calibrated probabilities in nats; only `nll` needs it.
        gains: float64 `[N]`, net return of the trades that each row led to; only `net_sharpe` needs it.
        bar: length of a bar in microseconds.
    """

    instants: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    gains: np.ndarray = field(default_factory=lambda: np.zeros(0))
    bar: int = 1
    calls: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    folds: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        """Fill in the defaults that depend on the rows."""
        if len(self.calls) != len(self.labels):
            object.__setattr__(self, "calls", self.probabilities.argmax(axis=1))
        if len(self.folds) != len(self.labels):
            object.__setattr__(self, "folds", np.zeros(len(self.labels), dtype=np.int64))

    def with_calls(self, calls: np.ndarray) -> Predictions:
        """Return the same predictions with other calls, int `[N]`."""
        return replace(self, calls=calls)

    def where(self, rows: np.ndarray) -> Predictions:
        """Return the predictions of some rows alone, bool `[N]`."""
        names = ("instants", "labels", "probabilities", "losses", "gains", "calls", "folds")
        columns = {name: getattr(self, name) for name in names}
        kept = {name: values[rows] if len(values) == len(rows) else values for name, values in columns.items()}
        return Predictions(**kept, bar=self.bar)

    def positions(self, instants: np.ndarray) -> np.ndarray:
        """Return the index of each row's instant, `[N]`, among sorted instants `[T]` that include all of them."""
        return np.searchsorted(instants, self.instants)


def score(metric: RankingMetric, predictions: Predictions, instants: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute a ranking metric under each weighting; higher is better.

    Args:
        metric: the metric to compute.
        predictions: predictions of one model for all rows.
        instants: int64 `[T]`, sorted, among them the instants of all rows.
        weights: `[D, T]`, how often each instant counts.

    Returns:
        float64 `[D]`; NaN where the metric is undefined on the rows that count.
    """
    return SCORES[metric](predictions, predictions.positions(instants), weights)


def unweighted_score(metric: RankingMetric, predictions: Predictions) -> float:
    """Compute a ranking metric with each row counted once."""
    instants = np.unique(predictions.instants)
    return float(score(metric, predictions, instants, np.ones((1, len(instants))))[0])


def _confusion(predictions: Predictions, positions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Count the rows by label and predicted class under each weighting, `[D, 3, 3]`."""
    # One bincount fills the 3 x 3 confusion matrices of all instants, flattened to [T * 9].
    cell = (positions * _CLASSES + predictions.labels) * _CLASSES + predictions.calls
    by_instant = np.bincount(cell, minlength=weights.shape[1] * _CLASSES**2).reshape(weights.shape[1], -1)
    # Counts are exact in float32 up to 2^24.
    counts = weights @ by_instant.astype(weights.dtype)
    return np.asarray(counts, dtype=np.float64).reshape(len(weights), _CLASSES, _CLASSES)


def _of_calls(metric: str) -> Callable[[Predictions, np.ndarray, np.ndarray], np.ndarray]:
    """Return the function that scores the calls by a metric of `CALL_METRICS`."""

    def score_calls(predictions: Predictions, positions: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return CALL_METRICS[metric](_confusion(predictions, positions, weights))

    return score_calls


def _per_fold(
    auc: Callable[[Predictions, np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Callable[[Predictions, np.ndarray, np.ndarray], np.ndarray]:
    """Return the function that averages an AUC over the folds: scores of different trainings cannot be compared.

    Where a weighting leaves no pair of a fold, the fold is left out of its average.
    """

    def score_folds(predictions: Predictions, positions: np.ndarray, weights: np.ndarray) -> np.ndarray:
        folds = [predictions.folds == fold for fold in np.unique(predictions.folds)]
        if not folds:
            return np.full(len(weights), np.nan)
        scores = np.stack([auc(predictions, rows, positions, weights) for rows in folds])
        is_defined = np.isfinite(scores)
        return ratio(np.where(is_defined, scores, 0.0).sum(axis=0), is_defined.sum(axis=0), np.nan)

    return score_folds


def _direction_auc(
    predictions: Predictions, rows: np.ndarray, positions: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    moves = rows & (predictions.labels != HOLD)
    scores = direction_score(predictions.probabilities)[moves]
    return _auc(scores, predictions.labels[moves] == BUY, positions[moves], weights)


def _multiclass_auc(
    predictions: Predictions, rows: np.ndarray, positions: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    by_class = [
        _auc(predictions.probabilities[rows, k], predictions.labels[rows] == k, positions[rows], weights)
        for k in range(_CLASSES)
    ]
    return np.asarray(np.mean(by_class, axis=0))


def _auc(scores: np.ndarray, positive: np.ndarray, positions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the share of pairs of a positive and a negative row that are ranked correctly, ties counting half, `[D]`.

    The rows are sorted by score. The negative rows ranked below a positive one are then a running sum, and rows of
    the same score are added up first, so that each of their pairs counts half.
    """
    if len(scores) == 0:
        return np.full(len(weights), np.nan)
    order = np.argsort(scores, kind="stable")
    ranked, positive, positions = scores[order], positive[order], positions[order]
    tie_starts = np.flatnonzero(np.append(True, np.diff(ranked) > 0))
    parts = []
    for chunk in np.array_split(weights, max(len(weights) // _CHUNK, 1)):
        row_weights = chunk[:, positions]
        positives, negatives = row_weights * positive, row_weights * ~positive
        if len(tie_starts) < len(ranked):
            positives, negatives = (np.add.reduceat(part, tie_starts, axis=1) for part in (positives, negatives))
        negatives_below = negatives.cumsum(axis=1) - negatives / 2
        pairs = positives.sum(axis=1, dtype=np.float64) * negatives.sum(axis=1, dtype=np.float64)
        parts.append(ratio((positives * negatives_below).sum(axis=1, dtype=np.float64), pairs, np.nan))
    return np.concatenate(parts)


def _negative_nll(predictions: Predictions, positions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    sums, counts = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
    np.add.at(sums, positions, predictions.losses)
    np.add.at(counts, positions, 1)
    return -ratio(weights @ sums, weights @ counts, np.nan)


def _net_sharpe(predictions: Predictions, positions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the annualised Sharpe ratio of the bars' returns: resampling tears days apart, but not bars."""
    gains = np.zeros(weights.shape[1])
    np.add.at(gains, positions, predictions.gains)
    total = weights.sum(axis=1)
    mean = ratio(weights @ gains, total, np.nan)
    variance = ratio(weights @ gains**2, total, np.nan) - mean**2
    return np.asarray(ratio(mean, np.sqrt(np.maximum(variance, 0.0))) * np.sqrt(_YEAR / predictions.bar))


SCORES: dict[RankingMetric, Callable[[Predictions, np.ndarray, np.ndarray], np.ndarray]] = {
    "macro_f1": _of_calls("macro_f1"),
    "mcc": _of_calls("mcc"),
    "balanced_accuracy": _of_calls("balanced_accuracy"),
    "auc": _per_fold(_multiclass_auc),
    "direction_auc": _per_fold(_direction_auc),
    "nll": _negative_nll,
    "net_sharpe": _net_sharpe,
}
"""Functions of predictions, the position of each row's instant, and weights `[D, T]`, by the metric's name."""
