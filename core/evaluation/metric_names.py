"""Names the metrics of a model, once for all tables and files. It imports nothing, so reading it costs nothing."""

from __future__ import annotations

PREDICTION_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "mcc",
    "auc",
    "direction_auc",
    "nll",
    "ece",
    "top_share",
)
"""What `core.evaluation.metrics.evaluate` computes from labels and probabilities, in the order of the columns."""
NET_SHARPE = "net_sharpe"
"""Annual Sharpe ratio of following the calls, net of costs: the one metric that needs a backtest."""
METRIC_NAMES = (*PREDICTION_METRICS, NET_SHARPE)
"""All metrics of an epoch, in the order of the columns."""
