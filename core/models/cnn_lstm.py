"""HybridCNNLSTM: convolutions see shapes, a bidirectional LSTM their order, attention what matters.

Beside them, a linear path leads from the last bar's features to the output.

Shapes: B samples, L bars, F features, C channels, D = 2 x the LSTM's hidden size; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn
from torch.nn import functional

from core.config import ModelConfig, ModelSize
from core.data.labels import CLASSES
from core.models.layers import AttentionPool, Dropout, LastBarPath, ResidualBlock, TimeConv, init_lstm
from core.models.network import Network, Prediction


@dataclass(frozen=True)
class Dimensions:
    """Sets the widths of one model size, and the stride of each residual block.

    A stride of 2 halves the steps: the stem has seen each bar beside its neighbours, and all layers after it, the LSTM
    above all, cost time by the step.

    Attributes:
        channels: C, channels of the convolutions.
        strides: stride of each residual block in turn, in steps.
        hidden: size of the LSTM's hidden state in each direction, D / 2.
        heads: heads of the attention pooling.
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
    """Return the number of steps that blocks of these strides leave of a window.

    Args:
        window: L, bars in the window.
        strides: stride of each block in turn, in steps.
    """
    for stride in strides:
        window = -(-window // stride)
    return window


class HybridCNNLSTM(Network):
    """Predicts windows by residual convolutions, a bidirectional LSTM, attention pooling and three heads.

    A linear path from the last bar adds to what the heads say of direction and return.
    """

    def __init__(self, config: ModelConfig, features: int, window: int, generator: Generator) -> None:
        """Build the network.

        Args:
            config: size and dropout of the model.
            features: F, features per bar.
            window: L, bars in a window.
            generator: random generator of the dropout, on the device that the model will run on.
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
        self.last_bar = None
        if config.last_bar != "none":
            # The network's own part of the logits starts at zero, so that the path alone speaks at first.
            nn.init.zeros_(self.direction.weight)
            nn.init.zeros_(self.direction.bias)
            self.last_bar = LastBarPath(features)

    @property
    def last_bar_path(self) -> LastBarPath | None:
        """The path from the last bar's features to logits and forecast, if the recipe asks for one."""
        return self.last_bar

    def forward(self, windows: Tensor) -> Prediction:
        """Predict the classes, the confidence and the return of windows `[B, L, F]`."""
        steps, _ = self.lstm(self.blocks(functional.gelu(self.stem(windows))))
        steps = self.norm(steps)
        context = self.context_norm(steps[:, -1] + self.attention(steps))
        context = self.dropout(context)
        direction, forecast = self.direction(context), self.forecast(context).squeeze(-1)
        if self.last_bar is not None:
            short = self.last_bar(windows)
            direction, forecast = direction + short[:, :-1], forecast + short[:, -1]
        return Prediction(direction, self.confidence(context).squeeze(-1), forecast)
