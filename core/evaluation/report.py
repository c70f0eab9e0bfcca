"""Reports on the predictions for some rows of a dataset, of a trained model or of the baselines.

Shapes: N rows; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.config import RankingMetric
from core.data.dataset import Dataset
from core.data.labels import CLASSES
from core.errors import ConfigError
from core.evaluation import metrics
from core.evaluation.backtest import DEFAULT_COST_BP, run_backtest
from core.evaluation.baselines import BASELINES
from core.evaluation.blocks import score_time_blocks, split_halves
from core.evaluation.calibration import logits_of
from core.evaluation.decision import Decisions, cross_fitted_decisions
from core.evaluation.metric_names import NET_SHARPE, PREDICTION_METRICS


def decide_rows(dataset: Dataset, rows: np.ndarray, probabilities: np.ndarray, metric: RankingMetric) -> Decisions:
    """Cross-fit calibration and decision rule on some rows of a dataset; see `cross_fitted_decisions`.

    Args:
        dataset: holds the labels and the timestamps of the rows.
        rows: the rows predicted, `[N]`.
        probabilities: SELL, HOLD, BUY for each of these rows, float64 `[N, 3]`, not calibrated.
        metric: the ranking metric, which the rule is fitted for.
    """
    labels, timestamps = dataset.labels[rows], dataset.timestamps[rows]
    return cross_fitted_decisions(logits_of(probabilities), labels, timestamps, dataset.bar, metric)


def evaluate_rows(
    dataset: Dataset,
    rows: np.ndarray,
    probabilities: np.ndarray,
    decisions: Decisions,
    names: Sequence[str] = PREDICTION_METRICS,
) -> dict[str, float]:
    """Compute the metrics of predictions for some rows of a dataset.

    Args:
        dataset: holds the labels and the timestamps of the rows.
        rows: the rows predicted, `[N]`.
        probabilities: SELL, HOLD, BUY for each of these rows, float64 `[N, 3]`, not calibrated.
        decisions: what follows from them by a calibration and a decision rule that were not fitted on these rows.
        names: the metrics to compute, of `METRIC_NAMES`.

    Returns:
        the metrics by name; NaN where these labels, or the days on which trades end, do not define one.
    """
    of_predictions = [name for name in names if name != NET_SHARPE]
    scores = metrics.evaluate(dataset.labels[rows], probabilities, decisions, of_predictions)
    if NET_SHARPE in names:
        scores[NET_SHARPE] = run_backtest(dataset, rows, decisions.calls).sharpe
    return scores


def score_blocks(
    dataset: Dataset, rows: np.ndarray, probabilities: np.ndarray, decisions: Decisions, metric: RankingMetric
) -> tuple[float, ...]:
    """Compute the ranking score of predictions on each block of the rows' time, see `core.evaluation.blocks`.

    Args:
        dataset: holds the labels and the timestamps of the rows.
        rows: the rows predicted, `[N]`.
        probabilities: SELL, HOLD, BUY for each of these rows, float64 `[N, 3]`, not calibrated.
        decisions: what follows from them; see `evaluate_rows`.
        metric: the ranking metric.

    Returns:
        the scores of the blocks, the earliest first, higher is better; NaN where a block does not define it.
    """

    def score(indices: np.ndarray) -> float:
        of_block = probabilities[indices], decisions.of(indices)
        return metrics.ranking_score(evaluate_rows(dataset, rows[indices], *of_block, [metric]), metric)

    return score_time_blocks(dataset.timestamps[rows], score)


def check_metric_is_defined(dataset: Dataset, metric: str) -> None:
    """Check, before anything is trained, that the labels and the days of val define a metric.

    Args:
        dataset: the dataset that is to be trained on; one without val rows passes.
        metric: name of the metric that the trainings are ranked by.

    Raises:
        ConfigError: no prediction has this metric on val, as where one class never occurs there.
    """
    rows = dataset.val
    if len(rows) == 0:
        return
    any_prediction = np.random.default_rng(0).dirichlet(np.ones(len(CLASSES)), len(rows))
    decisions = Decisions(any_prediction, any_prediction.argmax(axis=1))
    if np.isfinite(evaluate_rows(dataset, rows, any_prediction, decisions, [metric])[metric]):
        return
    if metric == NET_SHARPE:
        raise ConfigError(
            "net_sharpe is not defined on val: all trades end on one day (UTC)",
            "Use more days, or rank by another --metric",
        )
    counts = np.bincount(dataset.labels[rows], minlength=len(CLASSES))
    absent = [name for name, count in zip(CLASSES, counts, strict=True) if count == 0]
    reason = f": {' and '.join(absent)} never occur{'s' if len(absent) == 1 else ''} there" if absent else ""
    raise ConfigError(
        f"{metric} is not defined on val{reason}", "Use more days or other labels, or rank by another --metric"
    )


def make_evaluation_report(
    dataset: Dataset,
    rows: np.ndarray,
    probabilities: np.ndarray,
    decisions: Decisions,
    cost_bp: float = DEFAULT_COST_BP,
) -> dict[str, Any]:
    """Report everything that predictions for some rows of a dataset are worth.

    Args:
        dataset: holds the labels and the returns of the rows.
        rows: the rows predicted, `[N]`, in the order of the dataset.
        probabilities: SELL, HOLD, BUY for each of these rows, float64 `[N, 3]`, not calibrated.
        decisions: what follows from them by a calibration and a decision rule that were not fitted on these rows.
        cost_bp: cost of a round trip in the backtest, in basis points.

    Returns:
        `metrics`, scores `per_class`, `selective` accuracy and the `backtest` of following the calls.
    """
    labels = dataset.labels[rows]
    return {
        "metrics": evaluate_rows(dataset, rows, probabilities, decisions),
        "per_class": metrics.per_class_scores(labels, decisions.calls),
        "selective": metrics.selective_accuracy(dataset.returns[rows], decisions),
        "backtest": run_backtest(dataset, rows, decisions.calls, cost_bp).as_row(),
    }


def evaluate_baselines(
    dataset: Dataset, rows: np.ndarray, metric: RankingMetric
) -> tuple[dict[str, dict[str, float]], dict[str, float], dict[str, np.ndarray]]:
    """Evaluate every baseline on some rows of a dataset, with calls that are cross-fitted as a model's are.

    Args:
        dataset: holds features and labels; the baselines learn from its train rows.
        rows: the rows to predict, `[N]`.
        metric: the ranking metric, which the decision rules are fitted for.

    Returns:
        by the baseline's name, all its metrics; its macro-F1 as the mean over the earlier and the later half of the
        rows, which is a little lower than that of the whole: a model's cross-fitted score is such a mean too; and the
        classes that it calls, int `[N]`.
    """
    labels, halves = dataset.labels[rows], split_halves(dataset.timestamps[rows])
    scores, macro_f1_by_halves, calls = {}, {}, {}
    for name, predict in BASELINES.items():
        probabilities = predict(dataset, rows)
        decisions = decide_rows(dataset, rows, probabilities, metric)
        scores[name] = evaluate_rows(dataset, rows, probabilities, decisions)
        calls[name] = decisions.calls
        of_halves = [metrics.macro_f1(labels[half], decisions.calls[half]) for half in halves]
        macro_f1_by_halves[name] = float(np.mean(of_halves)) if of_halves else float("nan")
    return scores, macro_f1_by_halves, calls
