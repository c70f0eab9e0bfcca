"""Yardsticks: what can be had without a network, on the same rows and labels."""

from __future__ import annotations

import numpy as np

from core.config import SyntheticConfig
from core.dataset import Dataset
from core.market import synthetic
from core.market.labels import CLASSES


def majority(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Predict the class shares of the train rows, whatever the window: always the most frequent class.

    Returns:
        probabilities `[N, 3]` for the given rows `[N]`.
    """
    counts = np.bincount(dataset.labels[dataset.train], minlength=len(CLASSES))
    return np.tile(counts / counts.sum(), (len(rows), 1))


def bayes(dataset: Dataset, config: SyntheticConfig, rows: np.ndarray) -> np.ndarray:
    """What one who knows the synthetic market's recipe would predict: the best that any model can do.

    Args:
        dataset: made from a synthetic market whose optimum is known, with labels of its returns.
        config: that market's settings.
        rows: `[N]`.

    Returns:
        probabilities `[N, 3]`.
    """
    bar = (dataset.timestamps[rows] - synthetic.start_microseconds()) // dataset.bar
    result = np.zeros((len(rows), len(CLASSES)))
    for symbol, (low, high) in enumerate(dataset.thresholds):
        mine = dataset.symbols[rows] == symbol
        z = synthetic.pressure(config, symbol)[bar[mine]]
        result[mine] = synthetic.bayes_probabilities(z, config.signal, dataset.horizon, low, high)
    return result
