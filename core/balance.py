"""Weights that make up for unequal classes in the loss."""

from __future__ import annotations

import numpy as np

from core.config import ClassWeights
from core.market.labels import CLASSES


def class_weights(labels: np.ndarray, kind: ClassWeights) -> np.ndarray:
    """One weight a class.

    Args:
        labels: classes of the train rows, `[N]`.
        kind: `none` (all 1), `balanced` (N / (3 n_k), King & Zeng 2001, as in scikit-learn) or `sqrt` (its root).

    Returns:
        float64 `[3]`; a class that does not occur has weight 1.
    """
    counts = np.bincount(labels, minlength=len(CLASSES)).astype(np.float64)
    balanced = np.where(counts > 0, len(labels) / (len(CLASSES) * np.maximum(counts, 1)), 1.0)
    exponent = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}[kind]
    return np.asarray(balanced**exponent)
