"""Calibration of class probabilities: one temperature, and one bias per class.

Class weights and the focal loss shift the prior that a model believes in; a temperature alone (Guo et al. 2017,
arXiv:1706.04599) cannot undo that, a bias per class can.

Shapes: N rows; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

_MIN_PROBABILITY = 1e-12
BOUNDS = [(-5.0, 5.0), (-10.0, 10.0), (-10.0, 10.0)]
"""Bounds of the parameters of `calibration_loss`."""
_RIDGE = 1e-3
"""Pull towards the identity, in nats per row: a class without a row must not send its bias to infinity."""


@dataclass(frozen=True)
class Calibration:
    """Maps logits z to the probabilities softmax(z / temperature + bias).

    Attributes:
        temperature: divides the logits; above 1 it makes the model less certain.
        bias: added to the logits of SELL, HOLD, BUY; sums to 0.
    """

    temperature: float = 1.0
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Return the calibrated probabilities `[N, 3]` of logits `[N, 3]`."""
        return np.asarray(softmax(logits / self.temperature + np.array(self.bias), axis=1))


def fit_calibration(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit the calibration with the lowest cross-entropy on these rows.

    Args:
        logits: raw logits of the three classes, `[N, 3]`.
        labels: true classes, `[N]`.

    Returns:
        the temperature, between exp(-5) and exp(5), and the biases.
    """
    centred = logits - logits.mean(axis=1, keepdims=True)
    fitted = minimize(
        lambda parameters: calibration_loss(centred, labels, parameters)[:2],
        np.zeros(3),
        jac=True,
        method="L-BFGS-B",
        bounds=BOUNDS,
    )
    log_scale, sell, hold = map(float, fitted.x)
    return Calibration(float(np.exp(-log_scale)), (sell, hold, -sell - hold))


def calibration_loss(
    logits: np.ndarray, labels: np.ndarray, parameters: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Compute what a calibration is fitted to minimise: cross-entropy, and a pull towards the identity.

    Args:
        logits: logits less their mean over the classes, `[N, 3]`.
        labels: true classes, `[N]`.
        parameters: logarithm of the inverse temperature, and the biases of SELL and HOLD, `[3]`.

    Returns:
        the loss in nats per row, its gradient by the parameters, `[3]`, and by the logits, `[N, 3]`.
    """
    scale, bias = np.exp(parameters[0]), np.append(parameters[1:], -parameters[1:].sum())
    log_p = log_softmax(logits * scale + bias, axis=1)
    error = np.exp(log_p)
    error[np.arange(len(labels)), labels] -= 1
    slope = error.mean(axis=0)
    gradient = np.array([(error * logits).sum() / len(labels) * scale, slope[0] - slope[2], slope[1] - slope[2]])
    value = -log_p[np.arange(len(labels)), labels].mean()
    # The biases of all three classes are pulled alike: to exchange SELL and BUY must exchange their biases.
    pull = np.array([parameters[0], bias[0] - bias[2], bias[1] - bias[2]])
    ridge = parameters[0] ** 2 + (bias**2).sum()
    return float(value + _RIDGE * ridge), gradient + 2 * _RIDGE * pull, error * scale / len(labels)


def nll(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Compute the mean cross-entropy of probabilities `[N, 3]` on labels `[N]`, in nats."""
    of_labels = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_labels, _MIN_PROBABILITY)).mean())


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Return logits `[N, 3]` that softmax maps to these probabilities `[N, 3]`."""
    return np.asarray(np.log(np.maximum(probabilities, _MIN_PROBABILITY)))
