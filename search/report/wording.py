"""The words that a report has for metrics, hyperparameters and figures."""

from __future__ import annotations

import math
from typing import Any

METRICS = {
    "auc": "AUC",
    "macro_f1": "macro-F1",
    "mcc": "MCC",
    "direction_auc": "direction AUC",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "nll": "NLL",
    "ece": "calibration error",
    "top_share": "share of the class called most",
    "net_sharpe": "Sharpe ratio net of costs",
}
"""Names of the metrics in a report, by the name in the tables."""
EXPLANATIONS = {
    "auc": "how well the model ranks bars of each class above the others; 0.5 is guessing, 1 is perfect",
    "macro_f1": "how well the calls of SELL, HOLD and BUY hit, each class counting alike; guessing has about 0.33",
    "mcc": "the correlation of calls and labels; 0 is guessing, 1 is perfect",
    "direction_auc": "how well the model tells a coming rise from a coming fall; 0.5 is guessing, 1 is perfect",
    "balanced_accuracy": "the share of each class that is called rightly, averaged; guessing has 0.33",
    "nll": "the average surprise at what came, shown with a minus so that more is better",
    "net_sharpe": "the yearly return of following the calls over its spread, after costs",
}
"""What a ranking metric says, by its name."""


def hyperparameter_name(name: str) -> str:
    """Return the name of a hyperparameter in a report.

    >>> hyperparameter_name("learning_rate")
    'learning rate'
    """
    return name.replace("_", " ")


def metric_name(metric: str) -> str:
    """Return the name of a metric in a report; of one that a user has added, its own name."""
    return METRICS.get(metric, metric)


def metric_sentence(metric: str) -> str:
    """Return a sentence that says what a ranking metric measures."""
    about = EXPLANATIONS.get(metric)
    return f"Trials are ranked by {metric_name(metric)}" + (f": {about}." if about else ".")


def figure(value: Any) -> str:
    """Return a value of a table as text: four decimals, unless the number is small or large; empty for no value.

    >>> figure(0.51234), figure(0.00001), figure(12), figure(None), figure(True)
    ('0.5123', '1.0e-05', '12', '', 'yes')
    """
    if value is None or str(value) in ("<NA>", "nan"):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value == 0 or 1e-2 <= abs(value) < 100:
            return f"{value:.4f}"
        return f"{value:.1f}" if 100 <= abs(value) < 1e6 else f"{value:.1e}"
    return str(value)


def interval(low: float | None, high: float | None) -> str:
    """Return an interval as text, `none` where the data are too short for one."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "none"
    return f"{low:.4f} to {high:.4f}"


def instant(text: str) -> str:
    """Return an instant in ISO 8601 as people write it.

    >>> instant("2024-07-27T07:00:00+00:00")
    '2024-07-27 07:00 UTC'
    """
    return text.replace("T", " ").replace(":00+00:00", " UTC")


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is one.

    >>> count(1, "trial"), count(3, "trial")
    ('1 trial', '3 trials')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
