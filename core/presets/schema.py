"""The layout of a preset file."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from core.config import (
    AugmentConfig,
    Config,
    ForestKind,
    Hyperparameters,
    LastBarPath,
    LossConfig,
    LossKind,
    ModelConfig,
    ModelSize,
    Name,
    RankingMetric,
    Schedule,
    TrainerConfig,
    TrainingConfig,
)
from core.config.training import check_loss_settings
from core.errors import ConfigError
from core.presets.provenance import Provenance

SCHEMA_VERSION = 4
"""Version of the layout that this program writes; it reads all earlier ones, see `core.presets.library`."""


class NewerSchemaError(ConfigError):
    """Raised when a later version of this program wrote a preset file: the file is not damaged, but cannot be read."""


class PresetAugmentation(Config):
    """Augmentation other than mixup; the fields are those of `core.config.training.AugmentConfig`."""

    time_mask: float = Field(default=AugmentConfig().time_mask, ge=0.0, le=0.9)
    """Maximum length of the masked stretch, as a share of the window; 0 switches it off."""
    noise_std: float = Field(default=AugmentConfig().noise_std, ge=0.0)
    """Standard deviation of the Gaussian noise, in units of the scaled features; 0 switches it off."""
    feature_dropout: float = Field(default=AugmentConfig().feature_dropout, ge=0.0, lt=1.0)
    """Probability that a feature of a sample is replaced by its median; 0 switches it off."""


class PresetTraining(Config):
    """The part of a training recipe that a preset sets besides the six hyperparameters."""

    schedule: Schedule = TrainerConfig().schedule
    """Schedule of the learning rate over the epochs."""
    epochs: int = Field(default=TrainerConfig().epochs, ge=1)
    """Maximum number of epochs."""
    epoch_windows: int | None = Field(default=TrainerConfig().epoch_windows, ge=1)
    """Maximum number of windows in an epoch, where train has more; null reads all windows in each epoch."""
    patience: int | None = Field(default=TrainerConfig().patience, ge=1)
    """Number of epochs without improvement after which training stops; null trains all epochs."""
    final_epochs: int | None = Field(default=None, ge=1)
    """Confirmed number of epochs of a training on all rows, without validation; null if not confirmed."""
    loss: LossKind = LossConfig().kind
    """Loss of the training: multi_task (the sum over all heads), or that of the direction head alone: focal,
    label_smoothing (cross-entropy) or directional_accuracy."""
    label_smoothing: float = Field(default=LossConfig().label_smoothing, ge=0.0, lt=1.0)
    """Probability mass spread evenly over the three classes."""
    last_bar: LastBarPath = ModelConfig().last_bar
    """How the last bar's features reach the output directly: logistic (a linear path, set from a logistic regression on
    train and trained further) or none."""
    forest: ForestKind = ModelConfig().forest
    """Model that predictions are blended with: extra_trees (a forest on the last bar's features) or none."""
    ema_decay: float = Field(default=TrainerConfig().ema_decay, ge=0.0, lt=1.0)
    """Share of the averaged weights that an optimizer step keeps; 0 switches averaging off."""
    augmentation: PresetAugmentation = PresetAugmentation()
    """Augmentation other than mixup."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_loss_settings(self.loss, {"label_smoothing": self.label_smoothing})
        return self


class Preset(Config):
    """The content of one preset file: a training recipe, and where it came from."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    """Version of this file's layout."""
    name: Name
    """Name of the preset; the file has the same name."""
    description: str = ""
    """Short description of the preset."""
    hyperparameters: Hyperparameters
    """The six hyperparameters that a campaign searches."""
    training: PresetTraining = PresetTraining()
    """All other settings of the training recipe."""
    provenance: Provenance | None = None
    """Origin of the values; null for the presets of the guide."""

    def training_config(
        self, *, size: ModelSize | None = None, metric: RankingMetric | None = None, seed: int = 0
    ) -> TrainingConfig:
        """Return the full training recipe.

        Args:
            size: model size; None for the one that the preset was measured with, or quick if it was not measured.
            metric: ranking metric that selects the best epoch; None for the one that ranked the campaign's trials, or
                macro_f1 if no campaign made the preset.
            seed: seed of all random numbers of the training.
        """
        if self.provenance is not None:
            size, metric = size or self.provenance.model, metric or self.provenance.ranking_metric
        size, metric = size or ModelConfig().size, metric or TrainerConfig().metric
        settings = self.training
        trainer = TrainerConfig(
            schedule=settings.schedule,
            epochs=settings.epochs,
            epoch_windows=settings.epoch_windows,
            patience=settings.patience,
            ema_decay=settings.ema_decay,
            metric=metric,
            seed=seed,
        )
        recipe = TrainingConfig(
            model=ModelConfig(size=size, last_bar=settings.last_bar, forest=settings.forest),
            loss=LossConfig(kind=settings.loss, label_smoothing=settings.label_smoothing),
            augment=AugmentConfig(**settings.augmentation.model_dump()),
            trainer=trainer,
        )
        return self.hyperparameters.apply(recipe)
