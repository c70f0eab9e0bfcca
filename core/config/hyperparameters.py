"""The six hyperparameters that a campaign searches: their bounds, their meaning, their place in a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from core.config.base import Config

if TYPE_CHECKING:
    from core.config.training import TrainingConfig

LearningRate = Annotated[float, Field(gt=0.0, le=1.0)]
BatchSize = Annotated[int, Field(ge=1)]
WeightDecay = Annotated[float, Field(ge=0.0)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]
FocalGamma = Annotated[float, Field(ge=0.0, le=10.0)]
MixupAlpha = Annotated[float, Field(ge=0.0, le=10.0)]


class Hyperparameters(Config):
    """The six hyperparameters that a campaign searches."""

    learning_rate: LearningRate
    """Peak learning rate of AdamW."""
    batch_size: BatchSize
    """Number of windows per optimizer step."""
    weight_decay: WeightDecay
    """Decoupled weight decay of AdamW."""
    dropout: Dropout
    """Probability that an activation is dropped in training."""
    focal_gamma: FocalGamma
    """Focusing exponent of the focal loss; 0 is cross-entropy."""
    mixup_alpha: MixupAlpha
    """Both parameters of mixup's Beta distribution; 0 switches mixup off."""

    def apply(self, recipe: TrainingConfig) -> TrainingConfig:
        """Return a training recipe with these six values in place of its own.

        A loss that does not depend on focal gamma keeps its own value.

        Args:
            recipe: the recipe, whose other settings are kept.
        """
        trainer = {name: getattr(self, name) for name in ("learning_rate", "batch_size", "weight_decay")}
        loss = {} if "focal_gamma" in recipe.loss.unused else {"focal_gamma": self.focal_gamma}
        return recipe.model_copy(
            update={
                "model": recipe.model.model_copy(update={"dropout": self.dropout}),
                "loss": recipe.loss.model_copy(update=loss),
                "augment": recipe.augment.model_copy(update={"mixup_alpha": self.mixup_alpha}),
                "trainer": recipe.trainer.model_copy(update=trainer),
            }
        )


HYPERPARAMETER_NAMES: tuple[str, ...] = tuple(Hyperparameters.model_fields)
"""Names of the six hyperparameters, in the order in which every table and every preset lists them."""
