"""Metrics by which a model is judged. No loss is among them: losses change scale with the hyperparameters.

Shapes: N rows; 3 classes (SELL, HOLD, BUY), whose probabilities are float64 `[N, 3]`, rows summing to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.metrics import (
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
)

from core.config import RankingMetric
from core.data.labels import BUY, CLASSES, HOLD, SELL
from core.evaluation.calibration import cross_fitted_nll, logits_of
from core.evaluation.metric_names import PREDICTION_METRICS

MAX_TOP_SHARE = 0.9
"""Share of the calls above which a model that calls one class so often has collapsed."""
SELECTIVE_SHARES = (0.10, 0.25, 0.50)
"""Shares of the calls, the most certain first, that `selective_accuracy` judges."""
_ECE_BINS = 15
_CLASS_CODES = list(range(len(CLASSES)))


def evaluate(
    labels: np.ndarray,
    probabilities: np.ndarray,
    timestamps: np.ndarray,
    names: Sequence[str] = PREDICTION_METRICS,
) -> dict[str, float]:
    """Compute the metrics of one set of predictions.

    Args:
        labels: true classes, `[N]`.
        probabilities: predicted probabilities, not calibrated, `[N, 3]`.
        timestamps: instants of the rows in any unit, `[N]`, to halve them in time for the calibration of nll.
        names: the metrics to compute, of `PREDICTION_METRICS`.

    Returns:
        accuracy, balanced_accuracy, macro_f1, mcc, auc, direction_auc; nll (after calibration, cross-fitted over two
        halves of the time); ece (before calibration); top_share (of the class called most). A metric that these labels
        do not define (an AUC with one class only) is NaN.
    """
    return {name: METRICS[name](labels, probabilities, timestamps) for name in names}


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the share of correct calls."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def balanced_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the mean recall of the classes that occur."""
    calls = probabilities.argmax(axis=1)
    return float(recall_score(labels, calls, labels=np.unique(labels), average="macro", zero_division=0.0))


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the mean F1 of the three classes."""
    calls = probabilities.argmax(axis=1)
    return float(f1_score(labels, calls, labels=_CLASS_CODES, average="macro", zero_division=0.0))


def top_share(probabilities: np.ndarray) -> float:
    """Compute the share of the class that is called most."""
    calls = probabilities.argmax(axis=1)
    return float(np.bincount(calls, minlength=len(CLASSES)).max() / len(calls))


def split_halves(timestamps: np.ndarray) -> list[np.ndarray]:
    """Split rows into the earlier and the later half of their time.

    Args:
        timestamps: instants of the rows in any unit, `[N]`.

    Returns:
        two masks, bool `[N]`, the earlier half first; none where the rows cannot be halved.
    """
    early = timestamps <= np.median(timestamps) if len(timestamps) else np.zeros(0, dtype=bool)
    return [early, ~early] if early.any() and not early.all() else []


def ranking_score(scores: dict[str, float], metric: RankingMetric) -> float:
    """Return the score by which epochs and trials are ranked; higher is better.

    Args:
        scores: the metrics by name.
        metric: the metric to rank by.

    Returns:
        the metric, negated if lower is better; NaN where it is not among the scores.
    """
    value = scores.get(metric, float("nan"))
    return -value if metric == "nll" else value


def matthews_correlation(labels: np.ndarray, calls: np.ndarray) -> float:
    """Compute Matthews' correlation coefficient of labels and calls `[N]`; 0 where either holds one class only."""
    if len(np.unique(labels)) < 2 or len(np.unique(calls)) < 2:
        return 0.0
    return float(matthews_corrcoef(labels, calls))


def multiclass_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the area under the ROC curve, averaged over each class against the others; NaN if a class is missing."""
    if len(np.unique(labels)) < len(CLASSES):
        return float("nan")
    return float(np.mean([roc_auc_score(labels == k, probabilities[:, k]) for k in _CLASS_CODES]))


def direction_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the AUC of p_BUY - p_SELL among the rows that are not HOLD; NaN if SELL or BUY is missing.

    Skill at volatility (will it move?) does not enter it; skill at direction does.
    """
    moves = labels != HOLD
    if len(np.unique(labels[moves])) < 2:
        return float("nan")
    return float(roc_auc_score(labels[moves] == BUY, direction_score(probabilities)[moves]))


def direction_score(probabilities: np.ndarray) -> np.ndarray:
    """Return p_BUY - p_SELL of probabilities `[N, 3]`: how far they favour a rise, from -1 to 1, `[N]`."""
    return np.asarray(probabilities[:, BUY] - probabilities[:, SELL])


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the mean gap between confidence and accuracy over 15 equal bins of confidence. Naeini et al. 2015."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _ECE_BINS).astype(int), _ECE_BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=_ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def per_class_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, dict[str, float]]:
    """Compute precision, recall, F1 and support of each class, by the name of the class."""
    columns = precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=_CLASS_CODES, zero_division=0.0
    )
    names = ("precision", "recall", "f1", "support")
    return {
        CLASSES[k]: {name: float(values[k]) for name, values in zip(names, columns, strict=True)} for k in _CLASS_CODES
    }


def selective_accuracy(returns: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Compute how often the most certain BUY and SELL calls have the sign of the forward return.

    Calls are ordered by |p_BUY - p_SELL|, the largest first.

    Args:
        returns: forward returns in any unit, `[N]`.
        probabilities: predicted probabilities, `[N, 3]`.

    Returns:
        by 'top 10%' and so on (`SELECTIVE_SHARES`), the share of calls in the right direction; NaN without a call.
    """
    is_call = probabilities.argmax(axis=1) != HOLD
    side, moves = direction_score(probabilities)[is_call], returns[is_call]
    order = np.argsort(-np.abs(side), kind="stable")
    accuracies = {}
    for share in SELECTIVE_SHARES:
        top = order[: int(np.ceil(share * len(order)))]
        correct = np.sign(side[top]) == np.sign(moves[top])
        accuracies[f"top {share:.0%}"] = float(correct.mean()) if len(top) else float("nan")
    return accuracies


METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda labels, probabilities, _: accuracy(labels, probabilities),
    "balanced_accuracy": lambda labels, probabilities, _: balanced_accuracy(labels, probabilities),
    "macro_f1": lambda labels, probabilities, _: macro_f1(labels, probabilities),
    "mcc": lambda labels, probabilities, _: matthews_correlation(labels, probabilities.argmax(axis=1)),
    "auc": lambda labels, probabilities, _: multiclass_auc(labels, probabilities),
    "direction_auc": lambda labels, probabilities, _: direction_auc(labels, probabilities),
    "nll": lambda labels, probabilities, times: cross_fitted_nll(logits_of(probabilities), labels, times),
    "ece": lambda labels, probabilities, _: expected_calibration_error(labels, probabilities),
    "top_share": lambda _, probabilities, __: top_share(probabilities),
}
"""Functions of labels, probabilities that are not calibrated, and timestamps, by the metric's name."""
