"""HybridCNNLSTM: convolutions see shapes, a bidirectional LSTM their order, attention what matters.

Shapes: B samples, L bars, F features, C channels, D = 2 x the LSTM's hidden size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from core.config import ModelConfig, ModelSize
from core.data.labels import CLASSES
from core.models.layers import AttentionPool, Dropout, ResidualBlock, TimeConv, init_lstm


@dataclass(frozen=True)
class Dimensions:
    """Widths of one model size, and the stride of each residual block.

    A stride halves the steps: the stem has seen each bar beside its neighbours, and all that follows,
    the LSTM above all, pays by the step.
    """

    channels: int
    strides: tuple[int, ...]
    hidden: int
    heads: int = 4


DIMENSIONS: dict[ModelSize, Dimensions] = {
    "quick": Dimensions(channels=48, strides=(2, 2), hidden=32),
    "small": Dimensions(channels=128, strides=(2, 1, 1), hidden=128),
    "large": Dimensions(channels=256, strides=(2, 1, 1, 1), hidden=256),
}


def steps_after(window: int, strides: tuple[int, ...]) -> int:
    """Steps that are left of a window of L bars behind the blocks."""
    for stride in strides:
        window = -(-window // stride)
    return window


class Prediction(NamedTuple):
    """Output of the three heads.

    Attributes:
        direction: logits of SELL, HOLD, BUY, `[B, 3]`.
        confidence: logit of 'the direction called is right', `[B]`.
        forecast: forward return over the symbol's robust train scale, `[B]`.
    """

    direction: Tensor
    confidence: Tensor
    forecast: Tensor


class HybridCNNLSTM(nn.Module):
    """Residual convolutions over time, a bidirectional LSTM, attention pooling, three heads."""

    def __init__(self, config: ModelConfig, features: int, window: int, generator: Generator) -> None:
        """Build the network.

        Args:
            config: size and dropout.
            features: F.
            window: L.
            generator: what dropout draws from; on the device that the model will run on.
        """
        super().__init__()
        size = DIMENSIONS[config.size]
        dropout = Dropout(config.dropout, generator)
        self.stem = TimeConv(features, size.channels)
        self.blocks = nn.Sequential(*(ResidualBlock(size.channels, s, dropout) for s in size.strides))
        self.lstm = nn.LSTM(size.channels, size.hidden, batch_first=True, bidirectional=True)
        width = 2 * size.hidden
        self.norm = nn.LayerNorm(width)
        self.attention = AttentionPool(width, size.heads, steps_after(window, size.strides))
        self.context_norm = nn.LayerNorm(width)
        self.dropout = dropout
        self.direction = nn.Linear(width, len(CLASSES))
        self.confidence = nn.Linear(width, 1)
        self.forecast = nn.Linear(width, 1)
        init_lstm(self.lstm)

    def forward(self, windows: Tensor) -> Prediction:
        """Predict from windows `[B, L, F]`."""
        steps, _ = self.lstm(self.blocks(functional.gelu(self.stem(windows))))
        steps = self.norm(steps)
        context = self.context_norm(steps[:, -1] + self.attention(steps))
        context = self.dropout(context)
        return Prediction(
            self.direction(context), self.confidence(context).squeeze(-1), self.forecast(context).squeeze(-1)
        )


def count_parameters(model: nn.Module) -> int:
    """Number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def build_model(config: ModelConfig, features: int, window: int, seed: int, device: torch.device) -> HybridCNNLSTM:
    """A freshly initialised model on a device; the same for the same seed, whatever the process drew before."""
    generator = torch.Generator(device).manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU too
        model = HybridCNNLSTM(config, features, window, generator)
    return model.to(device)
