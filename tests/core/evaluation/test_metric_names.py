"""The names of the metrics, which are columns of recorded tables."""

from __future__ import annotations

from typing import get_args

from core.config import RankingMetric
from core.evaluation import metrics
from core.evaluation.metric_names import METRIC_NAMES, PREDICTION_METRICS
from tests.helpers.predictions import most_probable, random_rows


def test_the_named_metrics_are_the_ones_computed_and_any_ranking_metric_is_among_them() -> None:
    labels, probabilities = random_rows(0)
    assert tuple(metrics.evaluate(labels, probabilities, most_probable(probabilities))) == PREDICTION_METRICS
    assert set(get_args(RankingMetric)) <= set(METRIC_NAMES)


def test_the_columns_of_the_metrics_keep_their_order() -> None:
    assert ", ".join(METRIC_NAMES) == (
        "accuracy, balanced_accuracy, macro_f1, mcc, auc, direction_auc, nll, ece, top_share, net_sharpe"
    )
