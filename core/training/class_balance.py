"""Compensates unequal classes in one of two ways: weights in the loss, or drawing the rare classes more often.

Shapes: N train rows; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

import numpy as np

from core.config import BalanceConfig, ClassWeights
from core.data.labels import CLASSES
from core.errors import ConfigError


def check_balance(config: BalanceConfig) -> None:
    """Check that a recipe does not compensate twice, unless it allows that explicitly.

    Raises:
        ConfigError: class weights and oversampling are both on, and `allow_double` is not.
    """
    if config.oversample and config.class_weights != "none" and not config.allow_double:
        raise ConfigError(
            f"Class weights ({config.class_weights}) and oversampling together compensate twice: rare classes would "
            "count for more than common ones",
            "Use class_weights: none or oversample: false, or set allow_double: true",
        )


def compute_class_weights(labels: np.ndarray, kind: ClassWeights) -> np.ndarray:
    """Compute `class_weights_of` from the classes of the train rows, `[N]`."""
    return class_weights_of(np.bincount(labels, minlength=len(CLASSES)), kind)


def class_weights_of(counts: np.ndarray, kind: ClassWeights) -> np.ndarray:
    """Compute the weight of each class in the loss.

    Args:
        counts: train rows of each class, n, of which there are N in all, `[3]`.
        kind: `none` (all 1); `balanced` (N / (3 n_k), King & Zeng 2001, as in scikit-learn); `sqrt` (its
            root); `effective` (the inverse effective number of samples, Cui et al. 2019, arXiv:1901.05555).

    Returns:
        weights, float64 `[3]`; a class that does not occur has weight 1.
    """
    counts = counts.astype(np.float64)
    occurs = counts > 0
    if kind == "effective":
        weights = np.where(occurs, 1 / np.maximum(effective_numbers(counts), 1e-12), 0.0)
        # Scaled so that the mean over the rows is 1: the loss keeps its scale.
        weights *= counts.sum() / max(float((weights * counts).sum()), 1e-12)
        return np.where(occurs, weights, 1.0)
    balanced = np.where(occurs, counts.sum() / (len(CLASSES) * np.maximum(counts, 1)), 1.0)
    exponent = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    return np.asarray(balanced**exponent)


def effective_numbers(counts: np.ndarray) -> np.ndarray:
    """Compute the effective number of samples of each class, (1 - beta^n) / (1 - beta) with beta = 1 - 1/N.

    A fixed beta of 0.9999 saturates beyond some 50,000 rows: all classes would look alike.

    Args:
        counts: n, rows of each class, `[3]`; they sum to N.

    Returns:
        effective numbers, float64 `[3]`.
    """
    beta = 1 - 1 / max(float(counts.sum()), 2.0)
    return np.asarray((1 - beta**counts) / (1 - beta))


def oversample(rows: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw rows of the rarer classes again at random until all classes are equally frequent.

    Args:
        rows: the train rows, `[N]`.
        labels: classes of these rows, `[N]`.
        rng: random generator that the extra rows are drawn from.

    Returns:
        rows, `[M]`, M >= N, each of the given ones at least once; classes one after the other.
    """
    groups = [rows[labels == k] for k in range(len(CLASSES))]
    max_count = max(len(group) for group in groups)
    return np.concatenate([np.concatenate([g, rng.choice(g, max_count - len(g))]) if len(g) else g for g in groups])
