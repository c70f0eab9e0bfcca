"""Fits the simple models that a training starts from: once for a dataset, whatever the recipe.

Shapes: F features; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from core.data import cache
from core.data.dataset import Dataset
from core.data.labels import CLASSES
from core.evaluation.logistic_fit import fit_logistic_regression
from core.models.forest import Forest
from core.training.forest_fit import fit_forest

Model = TypeVar("Model")


def load_regression(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return `fit_logistic_regression` of a dataset, from the cache if it was fitted before."""

    def fit() -> dict[str, np.ndarray]:
        coefficients, intercepts = fit_logistic_regression(dataset)
        return {"coefficients": coefficients, "intercepts": intercepts}

    def read(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        coefficients, intercepts = arrays["coefficients"], arrays["intercepts"]
        if coefficients.shape != (dataset.features.shape[1], len(CLASSES)) or intercepts.shape != (len(CLASSES),):
            raise ValueError("a regression that does not fit")
        if not (np.isfinite(coefficients).all() and np.isfinite(intercepts).all()):
            raise ValueError("a regression that is not finite")
        return coefficients, intercepts

    return _load("logistic regression", dataset, fit, read)


def load_forest(dataset: Dataset) -> Forest:
    """Return `fit_forest` of a dataset, from the cache if it was fitted before."""

    def read(arrays: Mapping[str, np.ndarray]) -> Forest:
        forest = Forest.from_arrays(arrays)
        forest.check_features(dataset.features.shape[1])
        return forest

    return _load("forest", dataset, lambda: fit_forest(dataset).arrays(), read)


def _load(
    name: str,
    dataset: Dataset,
    fit: Callable[[], dict[str, np.ndarray]],
    read: Callable[[Mapping[str, np.ndarray]], Model],
) -> Model:
    """Read a model from the cache, or fit it and write it there for the next training on the same rows.

    Args:
        name: name of the model.
        dataset: what it is fitted to: the train rows, and how far apart they have to be.
        fit: fits the model, and returns its arrays.
        read: makes the model of its arrays; raises KeyError, TypeError or ValueError if they are damaged.
    """
    arrays = [getattr(dataset, column)[dataset.train] for column in ("features", "labels", "timestamps")]
    key = cache.fit_key(name, arrays, f"{dataset.horizon} {dataset.window} {dataset.bar}")
    entry = cache.read_cached(key)
    if entry is not None:
        try:
            return read(entry[0])
        except (KeyError, TypeError, ValueError):  # a damaged entry is made again
            pass
    fitted = fit()
    cache.write_cached(key, fitted, {})
    return read(fitted)
