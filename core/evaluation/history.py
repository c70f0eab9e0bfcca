"""History of a training: the result of each epoch, and what the choice among them is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.config import RankingMetric
from core.evaluation.metrics import ranking_score

CROSS_FITTED_METRICS = ("direction_auc", "macro_f1")
"""Metrics that are also judged on rows which did not choose the epoch: see `cross_fitted_scores`."""


@dataclass(frozen=True)
class EpochResult:
    """Records one epoch of a training: its scores on val, its loss and its cost.

    All values are plain numbers and texts, as JSON has them. Where nothing was held out, `score` and `value` are NaN,
    `metrics`, `best_metrics` and `halves` are empty, and every epoch is the best so far.

    Attributes:
        epoch: number of this epoch, counted from 1.
        score: ranking metric of this epoch on val, in the metric's own unit, negated if lower is better (nll, in
            nats); NaN where the labels of val do not define it.
        value: best score of the epochs so far, this one included, in the same unit.
        best_epoch: number of the epoch that reached `value` first, counted from 1.
        metrics: this epoch's metrics on val by name (`METRIC_NAMES`), each in its own unit and not negated.
        best_metrics: the same of epoch `best_epoch`.
        train_loss: mean over the steps of the training loss, without unit; the hyperparameters set its scale, so it is
            comparable within one training only.
        learning_rate: the schedule's learning rate in this epoch, before warm-up.
        seconds: wall-clock time of training and evaluating this epoch, in seconds.
        halves: metrics on the earlier and on the later half of val, in this order: by name, the ranking metric and
            those of `CROSS_FITTED_METRICS`, not negated; empty where val cannot be halved.
    """

    epoch: int
    score: float
    value: float
    best_epoch: int
    metrics: dict[str, float]
    best_metrics: dict[str, float]
    train_loss: float
    learning_rate: float
    seconds: float
    halves: list[dict[str, float]]

    def as_row(self) -> dict[str, Any]:
        """Return the record as plain values, for a table or JSON."""
        return asdict(self)


def cross_fitted_scores(history: Sequence[EpochResult], metric: RankingMetric) -> dict[str, float]:
    """Judge each half of val at the epoch that the other half would choose.

    The best of many epochs looks better than it is on the rows that chose it; these scores do not.

    Args:
        history: the results of all epochs, with their scores on both halves of val.
        metric: the ranking metric, by which an epoch is chosen.

    Returns:
        the metrics of `CROSS_FITTED_METRICS`, each the mean over the two halves.
    """

    def chosen_by(half: int) -> EpochResult:
        scores = [ranking_score(result.halves[half], metric) for result in history]
        return history[int(np.argmax(np.nan_to_num(scores, nan=-np.inf)))]

    judged = [chosen_by(1).halves[0], chosen_by(0).halves[1]]
    return {name: float(np.mean([half[name] for half in judged])) for name in CROSS_FITTED_METRICS}
