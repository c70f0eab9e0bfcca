"""A preset to write and read."""

from __future__ import annotations

from typing import Any

from core.config import Hyperparameters
from core.presets import Preset

SIX = {
    "learning_rate": 1e-4,
    "batch_size": 64,
    "weight_decay": 0.1 / 3,
    "dropout": 0.2,
    "focal_gamma": 1.5,
    "mixup_alpha": 0.0,
}


def make_preset(name: str = "mine", **fields: Any) -> Preset:
    return Preset(name=name, hyperparameters=Hyperparameters(**SIX), **fields)
