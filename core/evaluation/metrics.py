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
from core.evaluation.calibration import nll
from core.evaluation.decision import Decisions
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
    decisions: Decisions,
    names: Sequence[str] = PREDICTION_METRICS,
) -> dict[str, float]:
    """Compute the metrics of one set of predictions.

    Args:
        labels: true classes, `[N]`.
        probabilities: predicted probabilities, not calibrated, `[N, 3]`.
        decisions: what follows from them by a calibration and a decision rule that were not fitted on these rows.
        names: the metrics to compute, of `PREDICTION_METRICS`.

    Returns:
        of the calls accuracy, balanced_accuracy, macro_f1, mcc and top_share (of the class called most); of the
        calibrated probabilities nll and ece; of those that are not calibrated auc and direction_auc. A metric that
        these labels do not define (an AUC with one class only) is NaN.
    """
    return {name: METRICS[name](labels, probabilities, decisions) for name in names}


def accuracy(labels: np.ndarray, calls: np.ndarray) -> float:
    """Compute the share of correct calls."""
    return float(np.mean(calls == labels))


def balanced_accuracy(labels: np.ndarray, calls: np.ndarray) -> float:
    """Compute the mean recall of the classes that occur."""
    return float(recall_score(labels, calls, labels=np.unique(labels), average="macro", zero_division=0.0))


def macro_f1(labels: np.ndarray, calls: np.ndarray) -> float:
    """Compute the mean F1 of the three classes."""
    return float(f1_score(labels, calls, labels=_CLASS_CODES, average="macro", zero_division=0.0))


def top_share(calls: np.ndarray) -> float:
    """Compute the share of the class that is called most."""
    return float(np.bincount(calls, minlength=len(CLASSES)).max() / len(calls))


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
    """Compute the mean gap between confidence and accuracy over 15 equal bins of confidence.

    Confidence is the largest of a row's probabilities `[N, 3]`, and accuracy that of the class which has it.
    Naeini et al. 2015.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _ECE_BINS).astype(int), _ECE_BINS - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=_ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def per_class_scores(labels: np.ndarray, calls: np.ndarray) -> dict[str, dict[str, float]]:
    """Compute precision, recall, F1 and support of each class, by the name of the class."""
    columns = precision_recall_fscore_support(labels, calls, labels=_CLASS_CODES, zero_division=0.0)
    names = ("precision", "recall", "f1", "support")
    return {
        CLASSES[k]: {name: float(values[k]) for name, values in zip(names, columns, strict=True)} for k in _CLASS_CODES
    }


def selective_accuracy(returns: np.ndarray, decisions: Decisions) -> dict[str, float]:
    """Compute how often the most certain BUY and SELL calls have the sign of the forward return.

    Calls are ordered by |p_BUY - p_SELL|, the largest first.

    Args:
        returns: forward returns in any unit, `[N]`.
        decisions: calibrated probabilities and calls of the rows.

    Returns:
        by 'top 10%' and so on (`SELECTIVE_SHARES`), the share of calls in the right direction; NaN without a call.
    """
    is_call = decisions.calls != HOLD
    certainty, moves = np.abs(direction_score(decisions.probabilities))[is_call], returns[is_call]
    side = np.where(decisions.calls[is_call] == BUY, 1.0, -1.0)
    order = np.argsort(-certainty, kind="stable")
    accuracies = {}
    for share in SELECTIVE_SHARES:
        top = order[: int(np.ceil(share * len(order)))]
        correct = side[top] == np.sign(moves[top])
        accuracies[f"top {share:.0%}"] = float(correct.mean()) if len(top) else float("nan")
    return accuracies


METRICS: dict[str, Callable[[np.ndarray, np.ndarray, Decisions], float]] = {
    "accuracy": lambda labels, _, decisions: accuracy(labels, decisions.calls),
    "balanced_accuracy": lambda labels, _, decisions: balanced_accuracy(labels, decisions.calls),
    "macro_f1": lambda labels, _, decisions: macro_f1(labels, decisions.calls),
    "mcc": lambda labels, _, decisions: matthews_correlation(labels, decisions.calls),
    "auc": lambda labels, probabilities, _: multiclass_auc(labels, probabilities),
    "direction_auc": lambda labels, probabilities, _: direction_auc(labels, probabilities),
    "nll": lambda labels, _, decisions: nll(decisions.probabilities, labels),
    "ece": lambda labels, _, decisions: expected_calibration_error(labels, decisions.probabilities),
    "top_share": lambda _, __, decisions: top_share(decisions.calls),
}
"""Functions of labels, probabilities that are not calibrated, and the decisions that follow from them, by name."""
