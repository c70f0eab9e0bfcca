"""Fits a logistic regression of the label on the last bar's features, with the strength of its penalty chosen in time.

Shapes: T rows, N train rows, F features, 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.data.dataset import Dataset
from core.data.labels import CLASSES

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

INVERSE_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Values of C that are tried, the strongest penalty first; scikit-learn multiplies the loss, summed over rows, by C."""
DEFAULT_INVERSE_PENALTY = 1e-2
"""The value of C where the train rows are too few to choose one."""
LATER_SHARE = 0.2
"""Share of train's instants, the last of them, that C is chosen on."""


def fit_logistic_regression(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Fit a multinomial logistic regression with balanced classes and an L2 penalty on the train rows.

    C is the one of `INVERSE_PENALTIES` with the smallest loss on the last fifth of train; the regression is then
    fitted on all of train. The same dataset gives the same fit, except for rounding.

    On one core, 33,000 train rows of 40 features take 1 s, 100,000 take 3 s.

    Args:
        dataset: holds features and labels; rows outside train are not read.

    Returns:
        coefficients, float64 `[F, 3]`, and intercepts, float64 `[3]`: `softmax(features @ coefficients + intercepts)`
        are the probabilities of SELL, HOLD, BUY. A class that train lacks has no coefficients, and an intercept that
        makes it about as likely as one row of train.
    """
    labels = dataset.labels[dataset.train]
    classes = np.unique(labels)
    coefficients = np.zeros((dataset.features.shape[1], len(CLASSES)))
    intercepts = np.full(len(CLASSES), -np.log(len(labels)))
    intercepts[classes] = 0.0
    if len(classes) < 2:  # nothing to tell apart
        return coefficients, intercepts
    # The solver is exact after a few steps; in float32 it would warn of features that nearly repeat one another.
    features = dataset.features[dataset.train].astype(np.float64)
    model = _new_model(choose_inverse_penalty(dataset, features))
    model.fit(features, labels, sample_weight=_balanced_weights(labels))
    fitted, constants = model.coef_.T, model.intercept_
    if len(classes) == 2:  # scikit-learn has only the log-odds of the second class then
        fitted, constants = np.hstack([-fitted / 2, fitted / 2]), np.array([-constants[0] / 2, constants[0] / 2])
    coefficients[:, classes] = fitted
    intercepts[classes] = constants - constants.mean()
    return coefficients, intercepts


def choose_inverse_penalty(dataset: Dataset, features: np.ndarray) -> float:
    """Choose C by the loss on the last fifth of train's time, of fits on the rows before it.

    The loss is the one that the fit minimises: the cross-entropy with balanced classes. Between the two parts lie a
    horizon and a window, so that no label of the earlier rows reaches into a window of the later ones.

    Args:
        dataset: holds the labels and the timestamps of the train rows.
        features: the features of the train rows, float64 `[N, F]`.

    Returns:
        the value of C; `DEFAULT_INVERSE_PENALTY` where a class that train has is missing in one of the parts.
    """
    from sklearn.metrics import log_loss

    labels, timestamps = dataset.labels[dataset.train], dataset.timestamps[dataset.train]
    instants = np.unique(timestamps)
    border = instants[int(len(instants) * (1 - LATER_SHARE))]
    earlier = timestamps < border - (dataset.horizon + dataset.window) * dataset.bar
    later = timestamps >= border
    classes = np.unique(labels)
    if not all(np.array_equal(np.unique(labels[part]), classes) for part in (earlier, later)):
        return DEFAULT_INVERSE_PENALTY
    weights = _balanced_weights(labels)
    model = _new_model(INVERSE_PENALTIES[0])
    losses = []
    for inverse_penalty in INVERSE_PENALTIES:
        # Each fit starts at the one before it, which saves half of the steps.
        model.set_params(C=inverse_penalty).fit(features[earlier], labels[earlier], sample_weight=weights[earlier])
        predicted = model.predict_proba(features[later])
        losses.append(log_loss(labels[later], predicted, sample_weight=weights[later], labels=classes))
    return INVERSE_PENALTIES[int(np.argmin(losses))]


def _new_model(inverse_penalty: float) -> LogisticRegression:
    """Return a regression that is not fitted yet, and starts each further fit at the one before it."""
    from sklearn.linear_model import LogisticRegression  # memory that a trial may have no use for

    # Newton's steps need a fifth of the time of scikit-learn's default solver, and are exact.
    return LogisticRegression(C=inverse_penalty, solver="newton-cholesky", warm_start=True)


def _balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Return a weight for each label `[N]`: the classes that occur weigh the same, and the mean weight is 1."""
    _, class_of_row, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return np.asarray(len(labels) / (len(counts) * counts[class_of_row]))
