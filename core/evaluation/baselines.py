"""Yardsticks: what can be had without a network, on the same rows and labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.config import SyntheticConfig
from core.data.dataset import Dataset
from core.data.labels import CLASSES, HOLD, NO_LABEL
from core.data.sources import synthetic


def majority(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Predict the class shares of the train rows, whatever the window: always the most frequent class.

    Returns:
        probabilities `[N, 3]` for the given rows `[N]`.
    """
    counts = np.bincount(dataset.labels[dataset.train], minlength=len(CLASSES))
    return np.tile(counts / counts.sum(), (len(rows), 1))


def persistence(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Predict the label of bar t-h, the last one whose horizon is over at t (that of t-1 would leak).

    Where it is not known, behind a gap, HOLD.

    Returns:
        probabilities `[N, 3]`: how often each label followed such a one on train.
    """
    counts = np.ones((len(CLASSES), len(CLASSES)))
    np.add.at(counts, (_completed(dataset, dataset.train), dataset.labels[dataset.train]), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    before = _completed(dataset, rows)
    # The call is the earlier label itself; what followed on train only says how sure of it one may be.
    sure = np.maximum(shares[before, before], 1 / len(CLASSES) + 1e-6)
    found = np.repeat(((1 - sure) / (len(CLASSES) - 1))[:, None], len(CLASSES), axis=1)
    found[np.arange(len(rows)), before] = sure
    return found


def _completed(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    earlier = rows - dataset.horizon
    reachable = earlier >= 0
    there = np.where(reachable, earlier, 0)
    same = dataset.timestamps[rows] - dataset.timestamps[there] == dataset.horizon * dataset.bar
    known = reachable & same & (dataset.symbols[rows] == dataset.symbols[there])
    found = np.where(known, dataset.labels[there], HOLD)
    return np.asarray(np.where(found == NO_LABEL, HOLD, found)).astype(np.int64)


def logistic_regression(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Multinomial logistic regression on the last bar's features, classes balanced.

    Returns:
        probabilities `[N, 3]`.
    """
    from sklearn.linear_model import LogisticRegression  # memory that a trial has no use for

    return _last_bar(LogisticRegression(max_iter=1000, class_weight="balanced", C=0.1), dataset, rows)


def gradient_boosting(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Histogram gradient boosting (scikit-learn's) on the last bar's features, classes balanced.

    Returns:
        probabilities `[N, 3]`.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # memory that a trial has no use for

    model = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.05,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        class_weight="balanced",
        random_state=0,
    )
    return _last_bar(model, dataset, rows)


def _last_bar(model: Any, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    if len(np.unique(dataset.labels[dataset.train])) < 2:  # nothing to tell apart
        return majority(dataset, rows)
    model.fit(dataset.features[dataset.train], dataset.labels[dataset.train])
    found = np.zeros((len(rows), len(CLASSES)))
    found[:, model.classes_] = model.predict_proba(dataset.features[rows])
    return found


BASELINES = {
    "majority": majority,
    "persistence": persistence,
    "logistic regression": logistic_regression,
    "gradient boosting": gradient_boosting,
}
"""All of them, by name."""


def bayes(dataset: Dataset, config: SyntheticConfig, rows: np.ndarray) -> np.ndarray:
    """What one who knows the synthetic market's recipe would predict: the best that any model can do.

    Args:
        dataset: made from a synthetic market whose optimum is known, with labels of its returns.
        config: that market's settings.
        rows: `[N]`.

    Returns:
        probabilities `[N, 3]`.
    """
    bar = (dataset.timestamps[rows] - synthetic.start_microseconds()) // dataset.bar
    result = np.zeros((len(rows), len(CLASSES)))
    for symbol, (low, high) in enumerate(dataset.thresholds):
        mine = dataset.symbols[rows] == symbol
        z = synthetic.pressure(config, symbol)[bar[mine]]
        result[mine] = synthetic.bayes_probabilities(z, config.signal, dataset.horizon, low, high)
    return result
