"""Made-up trial records for the tests of tables and what stands on them."""

from __future__ import annotations

from typing import Any

from search import results
from search.results import METRICS, TrialRecord


def epoch(number: int, value: float, nll: float = 1.0) -> dict[str, Any]:
    scores = {**dict.fromkeys(METRICS, value), "nll": nll}
    return {
        "epoch": number,
        "score": value,
        "value": value,
        "best_epoch": number,
        "metrics": scores,
        "best_metrics": scores,
        "train_loss": 0.5,
        "learning_rate": 1e-3,
        "seconds": 2.0,
    }


def record(number: int, values: list[float], status: str = results.COMPLETE, nll: float = 1.0) -> TrialRecord:
    six = {
        "learning_rate": 1e-4 / 3 * (number + 1),
        "batch_size": 128,
        "weight_decay": 0.1 / 7,
        "dropout": 1 / 3,
        "focal_gamma": 2.0,
        "mixup_alpha": 0.0,
    }
    epochs = [epoch(place + 1, value, nll) for place, value in enumerate(values)]
    return TrialRecord(number, six, epochs, status, "" if status == results.COMPLETE else "said why")
