"""Baselines: what can be predicted without a network, on the same rows and labels.

Shapes: N rows, K = 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from core.config import SyntheticConfig
from core.data.dataset import Dataset
from core.data.labels import CLASSES, HOLD, NO_LABEL
from core.data.sources import synthetic
from core.evaluation.logistic_fit import fit_logistic_regression


def majority(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Predict the class shares of the train rows, whatever the window: always the most frequent class.

    Args:
        dataset: holds the labels of train.
        rows: the rows to predict, `[N]`.

    Returns:
        probabilities, `[N, 3]`, the same for every row.
    """
    counts = np.bincount(dataset.labels[dataset.train], minlength=len(CLASSES))
    return np.tile(counts / counts.sum(), (len(rows), 1))


def persistence(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Predict the label of bar t-h, the last one whose horizon is over at t (that of t-1 would leak).

    Where that label is not known, as after a gap, the prediction is HOLD.

    Args:
        dataset: the prepared dataset, with the labels of all rows.
        rows: the rows to predict, `[N]`.

    Returns:
        probabilities, `[N, 3]`; the predicted class has the share with which it followed itself on train,
        at least a little over a third.
    """
    counts = np.ones((len(CLASSES), len(CLASSES)))
    np.add.at(counts, (_last_complete_labels(dataset, dataset.train), dataset.labels[dataset.train]), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    calls = _last_complete_labels(dataset, rows)
    # The call is the earlier label itself; what followed on train only says how sure of it one may be.
    certainty = np.maximum(shares[calls, calls], 1 / len(CLASSES) + 1e-6)
    probabilities = np.repeat(((1 - certainty) / (len(CLASSES) - 1))[:, None], len(CLASSES), axis=1)
    probabilities[np.arange(len(rows)), calls] = certainty
    return probabilities


def _last_complete_labels(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Return the label of bar t-h for each row `[N]` at bar t; HOLD where there is none of the same symbol."""
    earlier = rows - dataset.horizon
    exists = earlier >= 0
    earlier = np.where(exists, earlier, 0)
    is_adjacent = dataset.timestamps[rows] - dataset.timestamps[earlier] == dataset.horizon * dataset.bar
    is_usable = exists & is_adjacent & (dataset.symbols[rows] == dataset.symbols[earlier])
    labels = np.where(is_usable, dataset.labels[earlier], HOLD)
    return np.asarray(np.where(labels == NO_LABEL, HOLD, labels)).astype(np.int64)


def logistic_regression(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Predict by multinomial logistic regression on the last bar's features; see `core.evaluation.logistic_fit`.

    Args:
        dataset: holds features and labels; the regression is fitted on train.
        rows: the rows to predict, `[N]`.

    Returns:
        probabilities, `[N, 3]`.
    """
    coefficients, intercepts = fit_logistic_regression(dataset)
    return np.asarray(softmax(dataset.features[rows] @ coefficients + intercepts, axis=1))


def gradient_boosting(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Predict by scikit-learn's histogram gradient boosting on the last bar's features, with balanced classes.

    Args:
        dataset: holds features and labels; the trees are fitted on train.
        rows: the rows to predict, `[N]`.

    Returns:
        probabilities, `[N, 3]`.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier  # memory that a trial has no use for

    if len(np.unique(dataset.labels[dataset.train])) < 2:  # no classifier can be fitted to one class
        return majority(dataset, rows)
    model = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.05,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        class_weight="balanced",
        # It would stop by the loss on random rows, whose windows overlap those that it is fitted on.
        early_stopping=False,
        random_state=0,
    )
    model.fit(dataset.features[dataset.train], dataset.labels[dataset.train])
    probabilities = np.zeros((len(rows), len(CLASSES)))
    probabilities[:, model.classes_] = model.predict_proba(dataset.features[rows])
    return probabilities


BASELINES = {
    "majority": majority,
    "persistence": persistence,
    "logistic regression": logistic_regression,
    "gradient boosting": gradient_boosting,
}
"""All baselines that any dataset has, by the name that files and tables call them."""


def bayes(dataset: Dataset, config: SyntheticConfig, rows: np.ndarray) -> np.ndarray:
    """Predict from the rule that generates the synthetic market, which is the best that any model can do.

    Args:
        dataset: of a synthetic market whose optimum is known, with labels of its returns.
        config: the settings of that market.
        rows: the rows to predict, `[N]`.

    Returns:
        probabilities, `[N, 3]`.
    """
    bars = (dataset.timestamps[rows] - synthetic.START) // dataset.bar
    probabilities = np.zeros((len(rows), len(CLASSES)))
    for symbol, (low, high) in enumerate(dataset.thresholds):
        is_symbol = dataset.symbols[rows] == symbol
        mean, deviation = synthetic.forward_moments(config, symbol, dataset.horizon)
        probabilities[is_symbol] = synthetic.bayes_probabilities(mean[bars[is_symbol]], deviation, low, high)
    return probabilities
