"""What a preset may say, and the recipe that it becomes."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from core import presets
from core.config import LossConfig, LossKind, TrainingConfig, parse
from core.errors import ConfigError
from core.presets import Preset, PresetAugmentation, PresetTraining
from tests.helpers.preset_files import make_preset


def test_what_a_preset_leaves_out_is_production_smalls() -> None:
    assert make_preset().training == presets.load_preset("production_small").training
    assert Preset.model_fields["training"].default == presets.load_preset("production_small").training


def test_the_settings_defaults_are_production_smalls_recipe() -> None:
    config = presets.load_preset("production_small").training_config(size="quick", metric="macro_f1", seed=0)
    assert config == TrainingConfig()


def test_a_training_recipe_takes_every_value_of_the_preset() -> None:
    training = PresetTraining(
        schedule="plateau",
        epochs=7,
        patience=None,
        label_smoothing=0.25,
        last_bar="none",
        forest="none",
        ema_decay=0.5,
        augmentation=PresetAugmentation(time_mask=0.3, noise_std=0.2, feature_dropout=0.15),
    )
    config = make_preset(training=training).training_config(size="large", metric="mcc", seed=11)
    assert config.model.model_dump() == {"size": "large", "dropout": 0.2, "last_bar": "none", "forest": "none"}
    assert (config.loss.focal_gamma, config.loss.label_smoothing) == (1.5, 0.25)
    assert config.augment.model_dump() == {
        "mixup_alpha": 0.0,
        "time_mask": 0.3,
        "noise_std": 0.2,
        "feature_dropout": 0.15,
    }
    assert config.trainer.learning_rate == 1e-4
    assert config.trainer.batch_size == 64
    assert config.trainer.weight_decay == 0.1 / 3
    assert (config.trainer.schedule, config.trainer.epochs, config.trainer.patience) == ("plateau", 7, None)
    assert (config.trainer.metric, config.trainer.seed) == ("mcc", 11)


@pytest.mark.parametrize("loss", get_args(LossKind))
def test_a_preset_names_the_loss_of_its_recipe(loss: LossKind, tmp_path: Path) -> None:
    preset = make_preset(training=PresetTraining(loss=loss))
    path = presets.save_preset(preset, tmp_path)
    assert f"\n  loss: {loss}\n" in path.read_text()
    recipe = presets.load_preset(str(path)).training_config()
    assert recipe.loss.kind == loss
    focal_gamma = preset.hyperparameters.focal_gamma if loss in ("multi_task", "focal") else LossConfig().focal_gamma
    assert recipe.loss.focal_gamma == focal_gamma
    assert parse(TrainingConfig, recipe.model_dump(mode="json"), "checkpoint") == recipe


@pytest.mark.parametrize("loss", ["focal", "directional_accuracy"])
def test_a_label_smoothing_without_effect_is_refused(loss: str) -> None:
    parse(PresetTraining, {"loss": "label_smoothing", "label_smoothing": 0.2}, "mine.yaml")
    parse(PresetTraining, {"loss": loss, "label_smoothing": LossConfig().label_smoothing}, "mine.yaml")
    with pytest.raises(ConfigError, match=rf"mine\.yaml: label_smoothing has no effect on the {loss} loss"):
        parse(PresetTraining, {"loss": loss, "label_smoothing": 0.2}, "mine.yaml")
