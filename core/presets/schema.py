"""What a preset file may say."""

from __future__ import annotations

from pydantic import Field

from core.config import (
    AugmentConfig,
    Config,
    Hyperparameters,
    LossConfig,
    ModelConfig,
    ModelSize,
    Name,
    RankingMetric,
    Schedule,
    TrainerConfig,
    TrainingConfig,
)
from core.errors import ConfigError
from core.presets.provenance import Provenance

SCHEMA_VERSION = 2


class NewerSchemaError(ConfigError):
    """A preset file that a later version of this program wrote: whole, but not to be read by this one."""


class PresetAugmentation(Config):
    """Augmentation beside mixup; fields as in `core.config.training.AugmentConfig`."""

    time_mask: float = Field(default=AugmentConfig().time_mask, ge=0.0, le=0.9)
    """Longest masked stretch, as a share of the window."""
    noise_std: float = Field(default=AugmentConfig().noise_std, ge=0.0)
    """Standard deviation of Gaussian noise, in scaled units."""
    feature_dropout: float = Field(default=AugmentConfig().feature_dropout, ge=0.0, lt=1.0)
    """Probability that a feature of a sample is blanked."""


class PresetTraining(Config):
    """What a preset says beside the six hyperparameters."""

    schedule: Schedule = TrainerConfig().schedule
    """How the learning rate changes over the epochs."""
    epochs: int = Field(default=TrainerConfig().epochs, ge=1)
    """Most epochs to train."""
    patience: int | None = Field(default=TrainerConfig().patience, ge=1)
    """Epochs without improvement after which training ends; null trains all epochs."""
    final_epochs: int | None = Field(default=None, ge=1)
    """Epochs that a training on all rows runs, without validation; null: not confirmed."""
    label_smoothing: float = Field(default=LossConfig().label_smoothing, ge=0.0, lt=1.0)
    """Probability mass spread evenly over the classes."""
    augmentation: PresetAugmentation = PresetAugmentation()
    """Augmentation beside mixup."""


class Preset(Config):
    """One preset file."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    """Version of this layout."""
    name: Name
    """The preset's name, equal to its file's."""
    description: str = ""
    """One sentence for people."""
    hyperparameters: Hyperparameters
    """The six."""
    training: PresetTraining = PresetTraining()
    """The rest of the recipe."""
    provenance: Provenance | None = None
    """Where the values came from; null for the presets of the guide."""

    def training_config(self, *, size: ModelSize, metric: RankingMetric, seed: int) -> TrainingConfig:
        """The full training recipe.

        Args:
            size: model size, which a preset leaves to the machine.
            metric: ranking metric that chooses the best epoch.
            seed: seed of everything random in the training.
        """
        settings = self.training
        trainer = TrainerConfig(
            schedule=settings.schedule, epochs=settings.epochs, patience=settings.patience, metric=metric, seed=seed
        )
        recipe = TrainingConfig(
            model=ModelConfig(size=size),
            loss=LossConfig(label_smoothing=settings.label_smoothing),
            augment=AugmentConfig(**settings.augmentation.model_dump()),
            trainer=trainer,
        )
        return self.hyperparameters.apply(recipe)
