"""Sets the network's path from the last bar to a logistic regression, so that training starts where that one ends.

Shapes: N train rows, F features; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional

from core.config import TrainingConfig
from core.data.dataset import Dataset
from core.data.labels import CLASSES
from core.training.class_balance import compute_class_weights
from core.training.losses import make_loss
from core.training.simple_models import load_regression

_MAX_LOG_SCALE = 1.5


class LastBarFit(NamedTuple):
    """Holds what the path from the last bar is set to.

    Attributes:
        coefficients, intercepts: of the logistic regression, float64 `[F, 3]` and `[3]`.
        scale, shift: the loss of the training is smallest at the regression's logits * scale + shift, `[3]`.
    """

    coefficients: np.ndarray
    intercepts: np.ndarray
    scale: float
    shift: np.ndarray


def fit_last_bar(dataset: Dataset, config: TrainingConfig) -> LastBarFit:
    """Fit a logistic regression on the train rows, and the scale that the training's loss drives its logits to.

    The focal loss wants less certain logits than cross-entropy does, and class weights move its intercepts. At another
    scale, training would have to unlearn the path before the rest of the network can add to it.

    Args:
        dataset: holds features and labels; rows outside train are not read.
        config: the recipe, of which the loss and the class balance count.
    """
    coefficients, intercepts = load_regression(dataset)
    scores, labels = dataset.features[dataset.train] @ coefficients + intercepts, dataset.labels[dataset.train]
    weights = compute_class_weights(labels, config.balance.class_weights)
    if config.balance.oversample:  # the rows of each class count as often as they are drawn
        weights = weights * compute_class_weights(labels, "balanced")
    targets = functional.one_hot(torch.from_numpy(labels).long(), len(CLASSES)).double()
    scale, shift = _fit_scale(torch.from_numpy(scores), targets, make_loss(config.loss, torch.tensor(weights)))
    return LastBarFit(coefficients, intercepts, scale, shift)


def _fit_scale(scores: Tensor, targets: Tensor, loss: nn.Module) -> tuple[float, np.ndarray]:
    """Fit the scale of scores `[N, 3]`, and what is added to each class, `[3]`, with the smallest loss on targets."""
    nothing, mixed = scores.new_zeros(len(scores)), torch.ones(len(scores), dtype=torch.bool)

    def value_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        values = torch.tensor(parameters, requires_grad=True)
        logits = scores * values[0].exp() + values[1:]
        # Mixed rows without a forecast: what remains of any loss is that of the direction.
        total = loss(logits, nothing, nothing, targets, nothing, mixed)
        (gradient,) = torch.autograd.grad(total, values)
        return float(total.detach()), gradient.numpy()

    start, bounds = np.zeros(1 + len(CLASSES)), [(-_MAX_LOG_SCALE, _MAX_LOG_SCALE), *[(-5.0, 5.0)] * len(CLASSES)]
    fitted = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(np.exp(fitted[0])), fitted[1:] - fitted[1:].mean()
