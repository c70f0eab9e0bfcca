"""Makes trials with given values, for the tests of tables and of all that reads them."""

from __future__ import annotations

from typing import Any

from core.evaluation.metric_names import METRIC_NAMES
from search.study.trial_record import COMPLETE, EpochRecord, TrialRecord


def epoch_record(epoch: int, value: float, nll: float = 1.0, best: int | None = None) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        value=value,
        score=value,
        best_epoch=best or epoch,
        train_loss=0.5,
        learning_rate=1e-3,
        seconds=2.0,
        metrics={**dict.fromkeys(METRIC_NAMES, value), "nll": nll},
    )


def params(number: int) -> dict[str, Any]:
    return {
        "learning_rate": 1e-4 / 3 * (number + 1),
        "batch_size": 128,
        "weight_decay": 0.1 / 7,
        "dropout": 1 / 3,
        "focal_gamma": 2.0,
        "mixup_alpha": 0.0,
    }


def trial_record(number: int, values: list[float], outcome: Any = COMPLETE, nll: float = 1.0) -> TrialRecord:
    epochs = {index + 1: epoch_record(index + 1, value, nll) for index, value in enumerate(values)}
    reason = "" if outcome == COMPLETE else "said why"
    return TrialRecord(number, params(number), "sampler", epochs, 1, outcome, reason)
