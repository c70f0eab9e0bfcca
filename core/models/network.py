"""The base of all networks: what goes in, what comes out, and what a checkpoint has to keep of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn

from core.models.layers import Dropout, LastBarPath


class Prediction(NamedTuple):
    """Holds the output of the three heads.

    Attributes:
        direction: logits of SELL, HOLD, BUY, `[B, 3]`.
        confidence: logit of the probability that the class called is right, `[B]`.
        forecast: forward log return divided by the symbol's robust scale on train, `[B]`.
    """

    direction: Tensor
    confidence: Tensor
    forecast: Tensor


class Network(nn.Module, ABC):
    """Predicts windows of bars.

    Attributes:
        dropout: the dropout of the network; a checkpoint keeps the state of its generator, from which all randomness of
            the network comes.
    """

    dropout: Dropout

    @property
    def last_bar_path(self) -> LastBarPath | None:
        """The path from the last bar's features to the output, which a training sets first; None if there is none."""
        return None

    def for_loss(self, prediction: Prediction) -> Prediction:
        """Return a prediction with the logits that the loss of the training is computed on, see `LastBarPath`."""
        if self.last_bar_path is None:
            return prediction
        return prediction._replace(direction=self.last_bar_path.for_loss(prediction.direction))

    @abstractmethod
    def forward(self, windows: Tensor) -> Prediction:
        """Predict the classes, the confidence and the return of windows `[B, L, F]`."""


def count_parameters(model: nn.Module) -> int:
    """Count the trainable values of a model."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
