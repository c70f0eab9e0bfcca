"""Says which epoch of a training is the best, and holds what its weights reach.

Shapes: N rows; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.evaluation.calibration import Calibration
from core.evaluation.decision import DecisionRule, Decisions
from core.evaluation.history import EpochResult


class ValPredictions(NamedTuple):
    """Holds predictions for the val rows, with everything that was fitted on val cross-fitted over its halves.

    Attributes:
        probabilities: SELL, HOLD, BUY for each row, float64 `[N, 3]`, not calibrated.
        decisions: calibrated probabilities and calls.
    """

    probabilities: np.ndarray
    decisions: Decisions


@dataclass(frozen=True)
class BestEpochEvaluation:
    """Holds what the weights of the best epoch reach on val, and on train beside it.

    Attributes:
        val: what the weights predict for val, by which they may be judged.
        calibration: calibration fitted to the logits and the labels of val.
        rule: decision rule fitted for the ranking metric to the calibrated probabilities and the labels of val.
        val_loss: plain cross-entropy of the raw logits on val, in nats.
        train_loss: plain cross-entropy on a fixed sample of train rows, as many as val has, in nats.
    """

    val: ValPredictions
    calibration: Calibration
    rule: DecisionRule
    val_loss: float
    train_loss: float

    @property
    def gap(self) -> float:
        """Return by how much the loss on val exceeds that on train, in nats; large where the model has overfitted."""
        return self.val_loss - self.train_loss


def improves(result: EpochResult, best: EpochResult) -> bool:
    """Return whether an epoch replaces the best one so far.

    Without val rows the latest epoch always does. A score that val does not define (NaN) beats none and loses to any.
    """
    if not result.metrics:
        return True
    return result.score > best.score or (math.isnan(best.score) and not math.isnan(result.score))
