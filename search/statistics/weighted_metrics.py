"""Metrics of predictions under many weightings of time at once: what resampling and splitting time need.

Shapes: N rows predicted, T instants, D weightings. A weighting `[D, T]` says how often each instant counts; all symbols
of an instant count together. With every weight 1 a metric is that of `core.evaluation.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from core.config import RankingMetric
from core.data.labels import BUY, CLASSES, HOLD
from core.evaluation.metrics import lean

_CLASSES = len(CLASSES)
_CHUNK = 250
"""Weightings at a time where a whole matrix of them by rows would be large."""
_YEAR = 365 * 86_400e6


@dataclass(frozen=True)
class Predictions:
    """What one model predicted of some rows.

    Attributes:
        instants: int64 `[N]`, the bar's opening in epoch microseconds.
        labels: `[N]`.
        probabilities: float64 `[N, 3]`, not calibrated.
        losses: `[N]`, cross-entropy of the calibrated probabilities in nats; only `nll` asks for it.
        gains: net return of the trades that each row led to, `[N]`; only `net_sharpe` asks for it.
        bar: length of a bar in microseconds; likewise.
    """

    instants: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    gains: np.ndarray = field(default_factory=lambda: np.zeros(0))
    bar: int = 1

    def places(self, instants: np.ndarray) -> np.ndarray:
        """Where the rows' instants lie among those given, which are sorted and hold them all, `[N]`."""
        return np.searchsorted(instants, self.instants)


def score(metric: RankingMetric, predictions: Predictions, instants: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A ranking metric under each weighting; higher is better. NaN where the rows that count do not define it.

    Args:
        metric: which.
        predictions: of the rows.
        instants: int64 `[T]`, sorted; those of the rows are among them.
        weights: `[D, T]`.

    Returns:
        float64 `[D]`.
    """
    return _SCORES[metric](predictions, predictions.places(instants), weights)


def unweighted(metric: RankingMetric, predictions: Predictions) -> float:
    """A ranking metric on all rows, each counted once."""
    instants = np.unique(predictions.instants)
    return float(score(metric, predictions, instants, np.ones((1, len(instants))))[0])


def _confusion(predictions: Predictions, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Counts by label and call under each weighting, `[D, 3, 3]`."""
    called = predictions.probabilities.argmax(axis=1)
    cell = (places * _CLASSES + predictions.labels) * _CLASSES + called
    by_instant = np.bincount(cell, minlength=weights.shape[1] * _CLASSES**2).reshape(weights.shape[1], -1)
    # Counts are exact in float32 up to 2^24.
    counts = weights @ by_instant.astype(weights.dtype)
    return np.asarray(counts, dtype=np.float64).reshape(len(weights), _CLASSES, _CLASSES)


def _ratio(above: np.ndarray, below: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    found = np.full(np.broadcast(above, below).shape, otherwise)
    np.divide(above, below, out=found, where=below > 0)
    return found


def _macro_f1(predictions: Predictions, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    counts = _confusion(predictions, places, weights)
    right = np.diagonal(counts, axis1=1, axis2=2)
    return np.asarray(_ratio(2 * right, counts.sum(axis=1) + counts.sum(axis=2)).mean(axis=1))


def _balanced_accuracy(predictions: Predictions, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    counts = _confusion(predictions, places, weights)
    recall = _ratio(np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2), np.nan)
    return np.asarray(np.nanmean(recall, axis=1))


def _mcc(predictions: Predictions, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Gorodkin 2004, eq. 8."""
    counts = _confusion(predictions, places, weights)
    total, right = counts.sum(axis=(1, 2)), np.trace(counts, axis1=1, axis2=2)
    called, labelled = counts.sum(axis=1), counts.sum(axis=2)
    spread = (total**2 - (called**2).sum(axis=1)) * (total**2 - (labelled**2).sum(axis=1))
    return np.asarray(_ratio(right * total - (called * labelled).sum(axis=1), np.sqrt(np.maximum(spread, 0.0))))


def _direction_auc(predictions: Predictions, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    moves = predictions.labels != HOLD
    return _auc(lean(predictions.probabilities)[moves], predictions.labels[moves] == BUY, places[moves], weights)


def _multiclass_auc(predictions: Predictions, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    found = [_auc(predictions.probabilities[:, k], predictions.labels == k, places, weights) for k in range(_CLASSES)]
    return np.asarray(np.mean(found, axis=0))


def _auc(scores: np.ndarray, positive: np.ndarray, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of pairs of a positive and a negative row that are ranked rightly, ties counting half, `[D]`."""
    if len(scores) == 0:
        return np.full(len(weights), np.nan)
    order = np.argsort(scores, kind="stable")
    ranked, positive, places = scores[order], positive[order], places[order]
    starts = np.flatnonzero(np.append(True, np.diff(ranked) > 0))  # of rows of one score
    parts = []
    for chunk in np.array_split(weights, max(len(weights) // _CHUNK, 1)):
        each = chunk[:, places]
        ones, zeros = each * positive, each * ~positive
        if len(starts) < len(ranked):
            ones, zeros = (np.add.reduceat(part, starts, axis=1) for part in (ones, zeros))
        below = zeros.cumsum(axis=1) - zeros / 2
        pairs = ones.sum(axis=1, dtype=np.float64) * zeros.sum(axis=1, dtype=np.float64)
        parts.append(_ratio((ones * below).sum(axis=1, dtype=np.float64), pairs, np.nan))
    return np.concatenate(parts)


def _negative_nll(predictions: Predictions, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    sums, counts = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
    np.add.at(sums, places, predictions.losses)
    np.add.at(counts, places, 1)
    return -_ratio(weights @ sums, weights @ counts, np.nan)


def _net_sharpe(predictions: Predictions, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Annualised from the returns of bars: days are torn apart by resampling, bars are not."""
    gains = np.zeros(weights.shape[1])
    np.add.at(gains, places, predictions.gains)
    total = weights.sum(axis=1)
    mean = _ratio(weights @ gains, total, np.nan)
    variance = _ratio(weights @ gains**2, total, np.nan) - mean**2
    return np.asarray(_ratio(mean, np.sqrt(np.maximum(variance, 0.0))) * np.sqrt(_YEAR / predictions.bar))


_SCORES: dict[RankingMetric, Callable[[Predictions, np.ndarray, np.ndarray], np.ndarray]] = {
    "macro_f1": _macro_f1,
    "mcc": _mcc,
    "balanced_accuracy": _balanced_accuracy,
    "auc": _multiclass_auc,
    "direction_auc": _direction_auc,
    "nll": _negative_nll,
    "net_sharpe": _net_sharpe,
}
