"""Everything that is said of a trained model on one set of rows, beside the yardsticks on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from core import backtest, baselines, metrics
from core.dataset import Dataset


def report(
    dataset: Dataset, rows: np.ndarray, probabilities: np.ndarray, cost_bp: float = backtest.DEFAULT_COST_BP
) -> dict[str, Any]:
    """Metrics, per-class table, selective figures and backtest of predictions.

    Args:
        dataset: where labels and returns come from.
        rows: rows predicted, `[N]`.
        probabilities: `[N, 3]`.
        cost_bp: cost of a round trip in basis points.
    """
    labels = dataset.labels[rows]
    return {
        "metrics": metrics.evaluate(labels, probabilities, dataset.timestamps[rows]),
        "per_class": metrics.per_class(labels, probabilities),
        "selective": metrics.selective(dataset.returns[rows], probabilities),
        "backtest": backtest.run(dataset, rows, probabilities.argmax(axis=1), cost_bp).as_row(),
    }


def yardsticks(dataset: Dataset, rows: np.ndarray) -> dict[str, dict[str, float]]:
    """Metrics of every baseline on these rows, by name."""
    labels, times = dataset.labels[rows], dataset.timestamps[rows]
    return {
        name: metrics.evaluate(labels, predict(dataset, rows), times) for name, predict in baselines.YARDSTICKS.items()
    }
