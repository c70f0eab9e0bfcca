"""Calibration of class probabilities: one temperature and a bias a class.

Class weights and the focal loss shift the prior that a model believes in; a temperature alone
(Guo et al. 2017, arXiv:1706.04599) cannot undo that, a bias a class can.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

_MIN_PROBABILITY = 1e-12
_RIDGE = 1e-3
"""Pull towards doing nothing, in nats a row: a class without a row must not send its bias to infinity."""


@dataclass(frozen=True)
class Calibration:
    """Maps logits z to softmax(z / temperature + bias).

    Attributes:
        temperature: above 1 softens.
        bias: one a class, adding up to 0.
    """

    temperature: float = 1.0
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def apply(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated probabilities `[N, 3]` of logits `[N, 3]`."""
        return np.asarray(softmax(logits / self.temperature + np.array(self.bias), axis=1))


def fit_calibration(logits: np.ndarray, labels: np.ndarray) -> Calibration:
    """The calibration with the least cross-entropy on these rows.

    Args:
        logits: `[N, 3]`.
        labels: true classes `[N]`.
    """
    centred = logits - logits.mean(axis=1, keepdims=True)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        scale, bias = np.exp(parameters[0]), np.append(parameters[1:], -parameters[1:].sum())
        log_p = log_softmax(centred * scale + bias, axis=1)
        wrong = np.exp(log_p)
        wrong[np.arange(len(labels)), labels] -= 1
        slope = wrong.mean(axis=0)
        gradient = np.array([(wrong * centred).sum() / len(labels) * scale, slope[0] - slope[2], slope[1] - slope[2]])
        value = -log_p[np.arange(len(labels)), labels].mean()
        return float(value + _RIDGE * (parameters**2).sum()), gradient + 2 * _RIDGE * parameters

    found = minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B", bounds=[(-5, 5), (-10, 10), (-10, 10)]).x
    return Calibration(float(np.exp(-found[0])), (float(found[1]), float(found[2]), float(-found[1] - found[2])))


def cross_fitted_nll(logits: np.ndarray, labels: np.ndarray, timestamps: np.ndarray) -> float:
    """Cross-entropy after calibration, in nats: each half of the time is judged by a calibration fitted on the other.

    Args:
        logits: `[N, 3]`.
        labels: true classes `[N]`.
        timestamps: `[N]`, in any unit.
    """
    early = timestamps <= np.median(timestamps)
    total = 0.0
    for judged in (early, ~early):
        if judged.all() or not judged.any():
            return nll(fit_calibration(logits, labels).apply(logits), labels)
        calibrated = fit_calibration(logits[~judged], labels[~judged]).apply(logits[judged])
        total += nll(calibrated, labels[judged]) * judged.sum()
    return float(total / len(labels))


def nll(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Cross-entropy of probabilities `[N, 3]` on labels `[N]`, in nats."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, _MIN_PROBABILITY)).mean())


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits that give these probabilities `[N, 3]`."""
    return np.asarray(np.log(np.maximum(probabilities, _MIN_PROBABILITY)))
