"""Decision rule: which class to call, given calibrated probabilities.

The most probable class is the best call for accuracy alone. Macro-F1, Matthews' correlation and balanced accuracy ask
for rarer classes to be called at lower probabilities. One bias per class, fitted on val, moves these thresholds.

Shapes: N rows; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.config import RankingMetric
from core.data.labels import CLASSES
from core.evaluation.calibration import logits_of

_COARSE = np.linspace(-2.0, 2.0, 17)
_FINE = np.linspace(-0.2, 0.2, 9)
_CLASSES = len(CLASSES)


@dataclass(frozen=True)
class DecisionRule:
    """Calls the class with the largest log-probability plus bias.

    Attributes:
        bias: added to the log-probabilities of SELL, HOLD, BUY; that of HOLD is 0.
    """

    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def calls(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the called class of each row, int `[N]`.

        Args:
            probabilities: calibrated probabilities, `[N, 3]`.
        """
        return np.asarray((logits_of(probabilities) + np.array(self.bias)).argmax(axis=1))


def fit_decision_rule(metric: RankingMetric, probabilities: np.ndarray, labels: np.ndarray) -> DecisionRule:
    """Find the rule whose calls have the best metric on these rows.

    Args:
        metric: the metric to maximise: `macro_f1`, `mcc` or `balanced_accuracy`. All others either do not depend on
            calls or are measured on the most probable class: for these the rule has no bias.
        probabilities: calibrated probabilities, `[N, 3]`.
        labels: true classes, `[N]`.

    Returns:
        the best rule of a grid of biases for SELL and BUY, refined around its best place; of equally good rules, the
        one whose biases are smallest.
    """
    if metric not in CALL_METRICS or len(labels) == 0:
        return DecisionRule()
    log_p = logits_of(probabilities)
    sell, buy = _best_bias(metric, log_p, labels, _COARSE, _COARSE)
    sell, buy = _best_bias(metric, log_p, labels, sell + _FINE, buy + _FINE)
    return DecisionRule((round(sell, 6), 0.0, round(buy, 6)))


def _best_bias(
    metric: RankingMetric, log_p: np.ndarray, labels: np.ndarray, sell: np.ndarray, buy: np.ndarray
) -> tuple[float, float]:
    """Return the biases for SELL and BUY, out of two lists, whose calls have the best metric."""
    candidates = sorted(((float(s), float(b)) for s in sell for b in buy), key=lambda bias: abs(bias[0]) + abs(bias[1]))
    scores = []
    for sell_bias, buy_bias in candidates:
        calls = (log_p + np.array([sell_bias, 0.0, buy_bias])).argmax(axis=1)
        counts = np.bincount(labels * _CLASSES + calls, minlength=_CLASSES**2).reshape(1, _CLASSES, _CLASSES)
        scores.append(float(CALL_METRICS[metric](counts)[0]))
    return candidates[int(np.argmax(np.nan_to_num(scores, nan=-np.inf)))]


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
