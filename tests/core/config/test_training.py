from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from core.config import BalanceConfig, LossConfig, LossKind, ModelConfig, TrainerConfig, TrainingConfig, parse
from core.errors import ConfigError


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


USED: dict[LossKind, set[str]] = {
    "multi_task": set(LossConfig.model_fields) - {"kind"},
    "focal": {"focal_gamma"},
    "label_smoothing": {"label_smoothing"},
    "directional_accuracy": set(),
}


@pytest.mark.parametrize("kind", get_args(LossKind))
def test_a_setting_on_which_a_loss_does_not_depend_is_refused(kind: LossKind) -> None:
    for name in set(LossConfig.model_fields) - {"kind"}:
        settings: dict[str, Any] = {"kind": kind, name: 0.25}
        if name in USED[kind]:
            assert getattr(parse(LossConfig, settings, "here"), name) == 0.25
        else:
            with pytest.raises(ValidationError, match=f"{name} has no effect on the {kind} loss"):
                LossConfig(**settings)
    assert set(LossConfig(kind=kind).unused) == USED["multi_task"] - USED[kind]


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValidationError, match="kind"):
        LossConfig.model_validate({"kind": "hinge"})


@pytest.mark.parametrize("kind", get_args(LossKind))
def test_what_is_written_of_a_loss_is_read_again(kind: LossKind) -> None:
    config = LossConfig(kind=kind)
    assert parse(LossConfig, config.model_dump(mode="json"), "here") == config


def test_what_is_written_of_the_sum_of_losses_is_what_earlier_versions_wrote() -> None:
    # Identities of campaigns, keys of cells and the states of trainings are made of it.
    written = LossConfig().model_dump(mode="json")
    assert list(written) == [
        "focal_gamma", "label_smoothing", "direction_weight", "confidence_weight", "return_weight", "opposite_weight"
    ]  # fmt: skip
    assert LossConfig(kind="focal").model_dump(mode="json") == {"kind": "focal", **written}


def test_heads_are_trained_by_the_sum_of_losses_alone_and_where_they_weigh_something() -> None:
    for kind in get_args(LossKind):
        config = LossConfig(kind=kind)
        assert config.trains_confidence == config.trains_return == (kind == "multi_task")
    assert not LossConfig(confidence_weight=0.0).trains_confidence
    assert not LossConfig(return_weight=0.0).trains_return


def test_a_network_sees_the_whole_window_or_the_last_bars_of_it() -> None:
    assert ModelConfig().bars_seen(60) == 60
    assert ModelConfig(window=16).bars_seen(60) == 16
    assert ModelConfig(window=60).bars_seen(60) == 60
    with pytest.raises(ConfigError, match=r"sees 61 bars, but a window of the data has 60\. Use windows of 61 bars"):
        ModelConfig(window=61).bars_seen(60)
