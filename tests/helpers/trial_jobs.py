"""The configuration and the reports of trials that are trained in this process, without Ray."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core import presets
from search.cluster.resources import TrialResources
from search.engine.trainable import TrainingTrial
from search.study.retries import TrainingFailure
from search.study.trial_record import EpochRecord, TrialAssignment

Start = Callable[[dict[str, Any]], TrainingTrial]
RESOURCES = TrialResources("cpu", 1, 0.0, 1)
BASE = presets.load_preset("production_small").training_config(size="quick", metric="macro_f1", seed=0)

HYPERPARAMETERS = {
    "learning_rate": 1e-3,
    "batch_size": 128,
    "weight_decay": 0.05,
    "dropout": 0.25,
    "focal_gamma": 1.5,
    "mixup_alpha": 0.0,
}


def trial_config(attempt: int = 1, last_epoch: int = 0, number: int = 7, **changes: Any) -> dict[str, Any]:
    return {"assignment": TrialAssignment(number, attempt, last_epoch, {**HYPERPARAMETERS, **changes})}


def reported_failure(result: dict[str, Any]) -> TrainingFailure:
    report = result["report"]
    assert isinstance(report, TrainingFailure), report
    return report


def report_row(result: dict[str, Any]) -> dict[str, Any]:
    report = result["report"]
    assert isinstance(report, EpochRecord), report
    return report.as_row() | {"seconds": None}
