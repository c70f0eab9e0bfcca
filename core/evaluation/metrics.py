"""What a model is judged by. No loss: losses change scale with the hyperparameters, these do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn import metrics

from core.config import RankingMetric
from core.data.labels import BUY, CLASSES, HOLD, SELL
from core.evaluation.calibration import cross_fitted_nll, logits_of
from core.evaluation.metric_names import PREDICTION_METRICS

COLLAPSE = 0.9
"""A model that calls one class more often than this has collapsed."""
SELECTIVE_SHARES = (0.10, 0.25, 0.50)
_ECE_BINS = 15
_CLASSES = list(range(len(CLASSES)))


def evaluate(
    labels: np.ndarray,
    probabilities: np.ndarray,
    timestamps: np.ndarray,
    names: Sequence[str] = PREDICTION_METRICS,
) -> dict[str, float]:
    """Metrics of one set of predictions.

    Args:
        labels: true classes `[N]`.
        probabilities: float64 `[N, 3]`, rows summing to 1, not calibrated.
        timestamps: `[N]`, to halve the rows in time for the calibration of nll.
        names: the metrics to compute, of `PREDICTION_METRICS`.

    Returns:
        accuracy, balanced_accuracy, macro_f1, mcc, auc, direction_auc; nll (after calibration, cross-fitted over two
        halves of the time); ece (before calibration); top_share (of the class called most). A metric that these labels
        do not define (an AUC with one class only) is NaN.
    """
    return {name: _METRICS[name](labels, probabilities, timestamps) for name in names}


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of right calls."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def balanced_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean recall of the classes that occur."""
    called = probabilities.argmax(axis=1)
    return float(metrics.recall_score(labels, called, labels=np.unique(labels), average="macro", zero_division=0.0))


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean F1 of the three classes."""
    called = probabilities.argmax(axis=1)
    return float(metrics.f1_score(labels, called, labels=_CLASSES, average="macro", zero_division=0.0))


def top_share(probabilities: np.ndarray) -> float:
    """Share of the class that is called most."""
    called = probabilities.argmax(axis=1)
    return float(np.bincount(called, minlength=len(CLASSES)).max() / len(called))


def halves(timestamps: np.ndarray) -> list[np.ndarray]:
    """The earlier and the later half of rows, in time, as bool `[N]`; none where they cannot be halved."""
    early = timestamps <= np.median(timestamps) if len(timestamps) else np.zeros(0, dtype=bool)
    return [early, ~early] if early.any() and not early.all() else []


def ranking(scores: dict[str, float], metric: RankingMetric) -> float:
    """The score by which epochs and trials are ranked, higher is better: the metric, negated if less of it is better.

    NaN where the metric is not among the scores.
    """
    value = scores.get(metric, float("nan"))
    return -value if metric == "nll" else value


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
    return float(metrics.roc_auc_score(labels[moves] == BUY, lean(probabilities)[moves]))


def lean(probabilities: np.ndarray) -> np.ndarray:
    """p_BUY - p_SELL, `[N]`."""
    return np.asarray(probabilities[:, BUY] - probabilities[:, SELL])


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins of confidence. Naeini et al. 2015."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _ECE_BINS).astype(int), _ECE_BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=_ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def per_class(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of each class."""
    found = metrics.precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=_CLASSES, zero_division=0.0
    )
    names = ("precision", "recall", "f1", "support")
    return {CLASSES[k]: {name: float(values[k]) for name, values in zip(names, found, strict=True)} for k in _CLASSES}


def selective(returns: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Of the BUY and SELL calls with the largest |p_BUY - p_SELL|: the share whose forward return has that sign.

    Args:
        returns: forward returns `[N]`, in any unit.
        probabilities: `[N, 3]`.

    Returns:
        by 'top 10 %' and so on, the share; NaN without a call.
    """
    called = probabilities.argmax(axis=1) != HOLD
    side, moved = lean(probabilities)[called], returns[called]
    order = np.argsort(-np.abs(side), kind="stable")
    found = {}
    for share in SELECTIVE_SHARES:
        top = order[: int(np.ceil(share * len(order)))]
        right = np.sign(side[top]) == np.sign(moved[top])
        found[f"top {share:.0%}"] = float(right.mean()) if len(top) else float("nan")
    return found


_METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "accuracy": lambda labels, probabilities, _: accuracy(labels, probabilities),
    "balanced_accuracy": lambda labels, probabilities, _: balanced_accuracy(labels, probabilities),
    "macro_f1": lambda labels, probabilities, _: macro_f1(labels, probabilities),
    "mcc": lambda labels, probabilities, _: matthews(labels, probabilities.argmax(axis=1)),
    "auc": lambda labels, probabilities, _: multiclass_auc(labels, probabilities),
    "direction_auc": lambda labels, probabilities, _: direction_auc(labels, probabilities),
    "nll": lambda labels, probabilities, times: cross_fitted_nll(logits_of(probabilities), labels, times),
    "ece": lambda labels, probabilities, _: expected_calibration_error(labels, probabilities),
    "top_share": lambda _, probabilities, __: top_share(probabilities),
}
