"""Fits the weight of a forest in the blend with a network.

The weight is fitted on val with a strong pull towards one half. Without that pull it follows the noise of val; without
any fit, a network that sees what the forest cannot would be held back by it (see docs/experiments.md).

Shapes: N rows of val; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from core.data.dataset import Dataset
from core.evaluation.blocks import split_halves
from core.evaluation.calibration import BOUNDS, calibration_loss
from core.models.forest import EQUAL_WEIGHT, Forest, blend

_PULL = 0.01
"""Four times the nats per row that a weight of 0 or 1 must gain over equal weights to be taken."""


class ForestOnVal:
    """Keeps what a forest predicts for val, which each epoch of a training is blended with.

    Attributes:
        logits: what the forest predicts, float64 `[N, 3]`.
    """

    def __init__(self, forest: Forest, dataset: Dataset) -> None:
        """Predict the val rows of a dataset."""
        self.logits = forest.logits(dataset.features[dataset.val])
        self._labels = dataset.labels[dataset.val]
        self._halves = split_halves(dataset.timestamps[dataset.val])

    def fit_weight(self, network: np.ndarray) -> float:
        """Find the forest's weight, see `fit_weight`, beside the network's logits for val, `[N, 3]`."""
        return fit_weight(network, self.logits, self._labels)

    def blend_by_half(self, network: np.ndarray) -> np.ndarray:
        """Blend the network's logits for val, `[N, 3]`, so that val can judge them.

        Returns:
            the logits of all rows, `[2, N, 3]`: with the weight that the later half of val's time asks for, by which
            the earlier half may be judged, then the other way round; with equal weights if val has no halves.
        """
        weights = [fit_weight(network[~half], self.logits[~half], self._labels[~half]) for half in self._halves]
        return np.stack([blend(network, self.logits, weight) for weight in weights or [EQUAL_WEIGHT] * 2])


def fit_weight(network: np.ndarray, forest: np.ndarray, labels: np.ndarray) -> float:
    """Find the weight of the forest with which the blend, once calibrated, has the smallest cross-entropy.

    Args:
        network: logits of the network, `[N, 3]`.
        forest: logits of the forest, `[N, 3]`.
        labels: true classes, `[N]`.

    Returns:
        the weight, in 0..1, pulled towards `EQUAL_WEIGHT`; that itself without rows.
    """
    if len(labels) == 0:
        return EQUAL_WEIGHT
    slope = blend(network, forest, 1.0) - blend(network, forest, 0.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weight, distance = parameters[3], parameters[3] - EQUAL_WEIGHT
        value, gradient, by_logits = calibration_loss(blend(network, forest, weight), labels, parameters[:3])
        by_weight = (by_logits * slope).sum() + 2 * _PULL * distance
        return value + _PULL * distance**2, np.append(gradient, by_weight)

    start = np.array([0.0, 0.0, 0.0, EQUAL_WEIGHT])
    return float(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[*BOUNDS, (0.0, 1.0)]).x[3])
