"""Layers of the network. Shapes: B samples, L steps, C channels, D width of the recurrent state."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional


class Dropout(nn.Module):
    """Inverted dropout from random bytes and a generator of its own.

    Four times as fast on a CPU as drawing a float for each value. The probability is rounded to
    1/256 and the scale follows the rounded one, so that the mean is kept exactly. Srivastava et al. 2014.
    """

    def __init__(self, probability: float, generator: Generator) -> None:
        """Drop with `probability`, drawing from `generator` (on the device of the activations)."""
        super().__init__()
        self.dropped_of_256 = min(round(probability * 256), 255)
        self.generator = generator

    def forward(self, values: Tensor) -> Tensor:
        """Drop values in training; do nothing in evaluation."""
        if not self.training or self.dropped_of_256 == 0:
            return values
        draws = torch.empty(values.shape, dtype=torch.uint8, device=values.device).random_(
            0, 256, generator=self.generator
        )
        kept = (draws >= self.dropped_of_256).to(values.dtype)
        return values * kept.mul_(256 / (256 - self.dropped_of_256))

    def extra_repr(self) -> str:
        """The probability in use."""
        return f"p={self.dropped_of_256 / 256:.4f}"


class ResidualBlock(nn.Module):
    """conv - norm - GELU - dropout - conv - norm, added to its input, then GELU. He et al. 2016, arXiv:1512.03385.

    With a stride, the input is averaged over it on its way past: as good as a strided convolution there
    (He et al. 2019, arXiv:1812.01187) and much cheaper on a CPU.
    """

    def __init__(self, channels: int, stride: int, dropout: Dropout) -> None:
        """Take `[B, C, L]` to `[B, C, ceil(L / stride)]`."""
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 3, stride=stride, padding=1)
        self.first_norm = nn.GroupNorm(4, channels)
        self.dropout = dropout
        self.second = nn.Conv1d(channels, channels, 3, padding=1)
        self.second_norm = nn.GroupNorm(4, channels)
        self.skip = nn.Identity() if stride == 1 else nn.AvgPool1d(stride, ceil_mode=True)

    def forward(self, values: Tensor) -> Tensor:
        """Apply the block to values `[B, C, L]`."""
        hidden = self.dropout(functional.gelu(self.first_norm(self.first(values))))
        return functional.gelu(self.skip(values) + self.second_norm(self.second(hidden)))


class AttentionPool(nn.Module):
    """Multi-head attention of the last step over the whole window. Vaswani et al. 2017, arXiv:1706.03762.

    Keys carry learned positions, counted back from the last step.
    """

    def __init__(self, width: int, heads: int, steps: int) -> None:
        """Pool `[B, steps, D]` to `[B, D]`; D = width is divided among the heads."""
        super().__init__()
        self.heads = heads
        self.positions = nn.Parameter(torch.randn(steps, width) * 0.02)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, values: Tensor) -> Tensor:
        """Pool values `[B, L, D]` into a context `[B, D]`."""
        batch, steps, width = values.shape
        keys, content = self.key_value(values + self.positions[-steps:]).chunk(2, dim=-1)
        query = self.query(values[:, -1])

        def split(tensor: Tensor) -> Tensor:
            return tensor.reshape(batch, -1, self.heads, width // self.heads).transpose(1, 2)

        pooled = functional.scaled_dot_product_attention(split(query), split(keys), split(content))
        return torch.as_tensor(self.out(pooled.transpose(1, 2).reshape(batch, width)))


def init_lstm(lstm: nn.LSTM) -> None:
    """Orthogonal recurrence, Xavier input, forget bias 1 (Jozefowicz et al. 2015)."""
    for name, parameter in lstm.named_parameters():
        if name.startswith("weight_hh"):
            for gate in parameter.data.chunk(4):
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_ih"):
            bound = math.sqrt(6 / (parameter.shape[1] + lstm.hidden_size))
            nn.init.uniform_(parameter, -bound, bound)
        else:
            nn.init.zeros_(parameter)
            if name.startswith("bias_ih"):
                # torch orders the gates input, forget, cell, output.
                parameter.data[lstm.hidden_size : 2 * lstm.hidden_size] = 1.0
