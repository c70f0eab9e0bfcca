"""Everything that is said of a trained model on one set of rows, beside the yardsticks on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.data.dataset import Dataset
from core.evaluation import metrics
from core.evaluation.backtest import DEFAULT_COST_BP, run_backtest
from core.evaluation.baselines import BASELINES
from core.evaluation.metric_names import PREDICTION_METRICS


def evaluate_rows(
    dataset: Dataset, rows: np.ndarray, probabilities: np.ndarray, names: Sequence[str] = PREDICTION_METRICS
) -> dict[str, float]:
    """Compute the metrics of predictions for some rows of a dataset.

    Args:
        dataset: holds the labels and the timestamps of the rows.
        rows: the rows predicted, `[N]`.
        probabilities: SELL, HOLD, BUY for each of these rows, float64 `[N, 3]`, not calibrated.
        names: the metrics to compute, of `PREDICTION_METRICS`.

    Returns:
        the metrics by name; NaN where these labels do not define one.
    """
    return metrics.evaluate(dataset.labels[rows], probabilities, dataset.timestamps[rows], names)


def evaluation_report(
    dataset: Dataset, rows: np.ndarray, probabilities: np.ndarray, cost_bp: float = DEFAULT_COST_BP
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
        "metrics": evaluate_rows(dataset, rows, probabilities),
        "per_class": metrics.per_class(labels, probabilities),
        "selective": metrics.selective(dataset.returns[rows], probabilities),
        "backtest": run_backtest(dataset, rows, probabilities.argmax(axis=1), cost_bp).as_row(),
    }


def baseline_metrics(dataset: Dataset, rows: np.ndarray) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """What every baseline reaches on these rows, by name.

    Returns:
        all metrics; and macro-F1 as the mean over the earlier and the later half of the rows, which is a little lower
        than that of the whole: a model's cross-fitted figure is such a mean too.
    """
    labels, times = dataset.labels[rows], dataset.timestamps[rows]
    whole, by_halves = {}, {}
    for name, predict in BASELINES.items():
        probabilities = predict(dataset, rows)
        whole[name] = evaluate_rows(dataset, rows, probabilities)
        parts = [metrics.macro_f1(labels[half], probabilities[half]) for half in metrics.halves(times)]
        by_halves[name] = float(np.mean(parts)) if parts else float("nan")
    return whole, by_halves
