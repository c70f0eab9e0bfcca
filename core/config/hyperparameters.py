"""The six hyperparameters that a campaign searches."""

from __future__ import annotations

from pydantic import Field

from core.config.base import Config


class Hyperparameters(Config):
    """The six that a campaign searches."""

    learning_rate: float = Field(gt=0.0, le=1.0)
    """Peak learning rate of AdamW."""
    batch_size: int = Field(ge=1)
    """Windows per optimizer step."""
    weight_decay: float = Field(ge=0.0)
    """Decoupled weight decay."""
    dropout: float = Field(ge=0.0, lt=1.0)
    """Probability that an activation is dropped."""
    focal_gamma: float = Field(ge=0.0, le=10.0)
    """Focusing exponent of the focal loss."""
    mixup_alpha: float = Field(ge=0.0, le=10.0)
    """Both parameters of mixup's Beta distribution; 0 is off."""
