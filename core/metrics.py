"""What a model is judged by. No loss: losses change scale with the hyperparameters, these do not."""

from __future__ import annotations

import numpy as np
from sklearn import metrics

from core.market.labels import BUY, CLASSES, HOLD, SELL

_CLASSES = list(range(len(CLASSES)))


def evaluate(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """All metrics of one set of predictions.

    Args:
        labels: true classes `[N]`.
        probabilities: float64 `[N, 3]`, rows summing to 1.

    Returns:
        accuracy, balanced_accuracy, macro_f1, mcc, auc, direction_auc, nll. A metric that these
        labels do not define (an AUC with one class only) is NaN.
    """
    called = probabilities.argmax(axis=1)
    return {
        "accuracy": float(np.mean(called == labels)),
        "balanced_accuracy": float(
            metrics.recall_score(labels, called, labels=np.unique(labels), average="macro", zero_division=0.0)
        ),
        "macro_f1": float(metrics.f1_score(labels, called, labels=_CLASSES, average="macro", zero_division=0.0)),
        "mcc": matthews(labels, called),
        "auc": multiclass_auc(labels, probabilities),
        "direction_auc": direction_auc(labels, probabilities),
        "nll": float(metrics.log_loss(labels, probabilities, labels=_CLASSES)),
    }


def matthews(labels: np.ndarray, called: np.ndarray) -> float:
    """Matthews' correlation coefficient of labels and calls `[N]`; 0 where either knows one class only."""
    if len(np.unique(labels)) < 2 or len(np.unique(called)) < 2:
        return 0.0
    return float(metrics.matthews_corrcoef(labels, called))


def multiclass_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Area under the ROC curve, mean of each class against the rest; NaN if a class is missing."""
    if len(np.unique(labels)) < len(CLASSES):
        return float("nan")
    return float(np.mean([metrics.roc_auc_score(labels == k, probabilities[:, k]) for k in _CLASSES]))


def direction_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """AUC of p_BUY - p_SELL among the rows that are not HOLD; NaN if SELL or BUY is missing.

    Skill at volatility (will it move?) does not enter it; skill at direction does.
    """
    moves = labels != HOLD
    if len(np.unique(labels[moves])) < 2:
        return float("nan")
    lean = probabilities[moves, BUY] - probabilities[moves, SELL]
    return float(metrics.roc_auc_score(labels[moves] == BUY, lean))
