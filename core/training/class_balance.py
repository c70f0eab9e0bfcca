"""Two ways to make up for unequal classes: weights in the loss, or drawing the rare ones more often. Not both."""

from __future__ import annotations

import numpy as np

from core.config import BalanceConfig, ClassWeights
from core.data.labels import CLASSES
from core.errors import ConfigError


def check_balance(config: BalanceConfig) -> None:
    """Refuse to compensate twice, unless that is asked for by name.

    Raises:
        ConfigError: weights and oversampling are both on.
    """
    if config.oversample and config.class_weights != "none" and not config.allow_double:
        raise ConfigError(
            f"Class weights ({config.class_weights}) and oversampling together compensate twice: rare classes would "
            "count for more than common ones",
            "Use class_weights: none, or oversample: false, or say allow_double: true",
        )


def class_weights(labels: np.ndarray, kind: ClassWeights) -> np.ndarray:
    """One weight a class.

    Args:
        labels: classes of the train rows, `[N]`.
        kind: `none` (all 1); `balanced` (N / (3 n_k), King & Zeng 2001, as in scikit-learn); `sqrt` (its
            root); `effective` (the inverse effective number of samples, Cui et al. 2019, arXiv:1901.05555).

    Returns:
        float64 `[3]`; a class that does not occur has weight 1.
    """
    counts = np.bincount(labels, minlength=len(CLASSES)).astype(np.float64)
    present = counts > 0
    if kind == "effective":
        raw = np.where(present, 1 / np.maximum(effective_numbers(counts), 1e-12), 0.0)
        # Scaled so that the mean over the rows is 1: the loss keeps its scale.
        raw *= counts.sum() / max(float((raw * counts).sum()), 1e-12)
        return np.where(present, raw, 1.0)
    balanced = np.where(present, counts.sum() / (len(CLASSES) * np.maximum(counts, 1)), 1.0)
    exponent = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    return np.asarray(balanced**exponent)


def effective_numbers(counts: np.ndarray) -> np.ndarray:
    """(1 - beta^n) / (1 - beta) of each class's count, with beta = 1 - 1/N for N rows in all.

    A fixed beta of 0.9999 saturates beyond some 50,000 rows: all classes would look alike.
    """
    beta = 1 - 1 / max(float(counts.sum()), 2.0)
    return np.asarray((1 - beta**counts) / (1 - beta))


def oversampled(rows: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The rows, with those of rarer classes drawn again at random until all classes are equally frequent.

    Args:
        rows: `[N]`.
        labels: classes of those rows, `[N]`.
        rng: what the extra rows are drawn from.

    Returns:
        `[M]`, M >= N, every row at least once; classes one after the other.
    """
    groups = [rows[labels == k] for k in range(len(CLASSES))]
    most = max(len(group) for group in groups)
    return np.concatenate([np.concatenate([g, rng.choice(g, most - len(g))]) if len(g) else g for g in groups])
