"""The layout of a preset file."""

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
"""Version of the layout that this program writes; it reads all earlier ones, see `core.presets.library`."""


class NewerSchemaError(ConfigError):
    """Raised when a later version of this program wrote a preset file: the file is not damaged, but cannot be read."""


class PresetAugmentation(Config):
    """Augmentation other than mixup; the fields are those of `core.config.training.AugmentConfig`."""

    time_mask: float = Field(default=AugmentConfig().time_mask, ge=0.0, le=0.9)
    """Longest masked stretch, as a share of the window."""
    noise_std: float = Field(default=AugmentConfig().noise_std, ge=0.0)
    """Standard deviation of Gaussian noise, in scaled units."""
    feature_dropout: float = Field(default=AugmentConfig().feature_dropout, ge=0.0, lt=1.0)
    """Probability that a feature of a sample is blanked."""


class PresetTraining(Config):
    """The part of a training recipe that a preset sets besides the six hyperparameters."""

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
    """The content of one preset file: a training recipe, and where it came from."""

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
        """Return the full training recipe.

        Args:
            size: model size, which a preset does not set: it depends on the machine.
            metric: ranking metric that selects the best epoch.
            seed: seed of all random numbers of the training.
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
