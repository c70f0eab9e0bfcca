"""Metrics of calls, computed from confusion counts: of many sets of calls at once.

Shapes: D sets of calls; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

import numpy as np


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Compute the mean F1 of the three classes, `[D]`, from confusion counts by label and call, `[D, 3, 3]`."""
    correct = np.diagonal(counts, axis1=1, axis2=2)
    return np.asarray(ratio(2 * correct, counts.sum(axis=1) + counts.sum(axis=2)).mean(axis=1))


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Compute the mean recall of the classes that occur, `[D]`, from confusion counts `[D, 3, 3]`."""
    recall = ratio(np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=2), np.nan)
    return np.asarray(np.nanmean(recall, axis=1))


def mcc(counts: np.ndarray) -> np.ndarray:
    """Compute Matthews' correlation of three classes (Gorodkin 2004, eq. 8), `[D]`, from counts `[D, 3, 3]`."""
    total, correct = counts.sum(axis=(1, 2)), np.trace(counts, axis1=1, axis2=2)
    predicted, labelled = counts.sum(axis=1), counts.sum(axis=2)
    covariance = correct * total - (predicted * labelled).sum(axis=1)
    variances = (total**2 - (predicted**2).sum(axis=1)) * (total**2 - (labelled**2).sum(axis=1))
    return np.asarray(ratio(covariance, np.sqrt(np.maximum(variances, 0.0))))


def ratio(numerator: np.ndarray, denominator: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
    """Divide elementwise, with the value `otherwise` where the denominator is not positive."""
    quotient = np.full(np.broadcast(numerator, denominator).shape, otherwise)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


CALL_METRICS = {"macro_f1": macro_f1, "mcc": mcc, "balanced_accuracy": balanced_accuracy}
"""Ranking metrics that depend on the calls alone: functions of confusion counts `[D, 3, 3]`."""
