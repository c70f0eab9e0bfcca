"""What each epoch of a training came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.config import RankingMetric
from core.evaluation.metrics import ranking

CROSS_FITTED = ("direction_auc", "macro_f1")
"""Metrics that are judged where they did not choose the epoch too: see `cross_fitted`."""


@dataclass(frozen=True)
class EpochResult:
    """What one epoch came to.

    Attributes:
        epoch: counted from 1.
        score: ranking metric of this epoch on val.
        value: best score so far.
        best_epoch: the epoch that reached it.
        metrics: all metrics of this epoch on val.
        best_metrics: all metrics of the best epoch on val.
        train_loss: mean training loss; comparable within one training only.
        learning_rate: the one used in this epoch.
        seconds: wall-clock time of training and evaluation.
        halves: the ranking metric and those of `CROSS_FITTED` on the earlier and on the later half of val.
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
        """Plain values, for a table or JSON."""
        return asdict(self)


def cross_fitted(history: Sequence[EpochResult], metric: RankingMetric) -> dict[str, float]:
    """What the choice of an epoch is worth: each half of val is judged at the epoch that the other half chose.

    The best of many epochs looks better than it is on the rows that chose it; these figures do not.

    Args:
        history: a result an epoch, with scores.
        metric: by which an epoch is chosen.

    Returns:
        means over the two halves of the metrics of `CROSS_FITTED`.
    """

    def chosen_by(half: int) -> EpochResult:
        scores = [ranking(result.halves[half], metric) for result in history]
        return history[int(np.argmax(np.nan_to_num(scores, nan=-np.inf)))]

    judged = [chosen_by(1).halves[0], chosen_by(0).halves[1]]
    return {name: float(np.mean([half[name] for half in judged])) for name in CROSS_FITTED}
