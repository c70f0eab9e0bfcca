"""The hyperparameters that a campaign searches: their bounds, their meaning, their place in a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Annotated, Any

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
Window = Annotated[int, Field(ge=2, le=4096)]


class Hyperparameters(Config):
    """The six hyperparameters that a campaign searches, and one that it searches where its space names it."""

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
    window: Window | None = Field(default=None, exclude_if=lambda window: window is None)
    """Number of bars that the network sees, where the windows of the data are longer; all of them if not given."""

    @classmethod
    def pick(cls, values: Mapping[str, Any]) -> Hyperparameters:
        """Select the hyperparameters from a mapping, which may hold other values, too.

        Args:
            values: the six by name; an optional hyperparameter may be missing, or be no number.
        """
        picked = {name: values[name] for name in HYPERPARAMETER_NAMES}
        for name in OPTIONAL_NAMES:
            value = values.get(name)
            if isinstance(value, Real) and not math.isnan(value):
                picked[name] = value
        return cls(**picked)

    def apply(self, recipe: TrainingConfig) -> TrainingConfig:
        """Return a training recipe with these values in place of its own.

        A loss that does not depend on focal gamma keeps its own value.

        Args:
            recipe: the recipe, whose other settings are kept.
        """
        model = {"dropout": self.dropout, **({} if self.window is None else {"window": self.window})}
        trainer = {name: getattr(self, name) for name in ("learning_rate", "batch_size", "weight_decay")}
        loss = {} if "focal_gamma" in recipe.loss.unused else {"focal_gamma": self.focal_gamma}
        return recipe.model_copy(
            update={
                "model": recipe.model.model_copy(update=model),
                "loss": recipe.loss.model_copy(update=loss),
                "augment": recipe.augment.model_copy(update={"mixup_alpha": self.mixup_alpha}),
                "trainer": recipe.trainer.model_copy(update=trainer),
            }
        )


OPTIONAL_NAMES = ("window",)
"""Names of the hyperparameters that are searched only where the space of a campaign names them."""
HYPERPARAMETER_NAMES: tuple[str, ...] = tuple(n for n in Hyperparameters.model_fields if n not in OPTIONAL_NAMES)
"""Names of the six hyperparameters, in the order in which every table and every preset lists them."""
