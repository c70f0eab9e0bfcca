from __future__ import annotations

import pytest
from pydantic import ValidationError

from core.config import BalanceConfig, LossConfig, TrainerConfig, TrainingConfig


def test_settings_of_the_trainer_are_changed_in_a_copy() -> None:
    recipe = TrainingConfig(loss=LossConfig(focal_gamma=3.0), balance=BalanceConfig(class_weights="sqrt"))
    changed = recipe.with_trainer(epochs=7, patience=None)
    assert (changed.trainer.epochs, changed.trainer.patience) == (7, None)
    assert changed.with_trainer(epochs=recipe.trainer.epochs, patience=recipe.trainer.patience) == recipe
    assert recipe.trainer == TrainerConfig()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("epochs", 0), ("patience", 0), ("clip_norm", 0.0), ("warmup_steps", -1), ("seed", 2**32), ("schedule", "step")],
)
def test_a_setting_out_of_its_bounds_is_refused(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        TrainerConfig.model_validate({setting: value})
