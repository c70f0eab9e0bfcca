"""Layers of the network.

Shapes: B samples, L steps, C channels, D width of the recurrent state.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from core.data.labels import CLASSES

_MIN_INT64 = -(2**63)


class Dropout(nn.Module):
    """Drops random activations (inverted dropout), drawing bytes from a generator that it is given.

    Eight bytes are drawn at a time, which on a CPU is several times as fast as a float for each value. The probability
    is rounded to 1/256 and the scale follows the rounded one, so that the mean is kept exactly. Srivastava et al. 2014.
    """

    def __init__(self, probability: float, generator: Generator) -> None:
        """Build the layer.

        Args:
            probability: probability that an activation is dropped, below 1.
            generator: random generator to draw from, on the device of the activations.
        """
        super().__init__()
        self.dropped_of_256 = min(round(probability * 256), 255)
        self.generator = generator

    def forward(self, values: Tensor) -> Tensor:
        """Drop values in training mode; return them unchanged in evaluation mode."""
        if not self.training or self.dropped_of_256 == 0:
            return values
        count = values.numel()
        words = torch.empty(-(-count // 8), dtype=torch.int64, device=values.device)
        draws = words.random_(_MIN_INT64, None, generator=self.generator).view(torch.uint8)[:count]
        kept = (draws >= self.dropped_of_256).to(values.dtype).view(values.shape)
        return values * kept.mul_(256 / (256 - self.dropped_of_256))

    def extra_repr(self) -> str:
        """Return the probability in use, for torch's printout of the model."""
        return f"p={self.dropped_of_256 / 256:.4f}"


class TimeConv(nn.Conv1d):
    """Convolves three steps at a time, as `nn.Conv1d`, over `[B, L, C]`, the order of windows and of the LSTM.

    It runs as a convolution of images one pixel high, whose channels lie last in memory: nothing is copied, and on a
    CPU its kernels are twice as fast.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        """Build a layer that takes `[B, L, inputs]` to `[B, ceil(L / stride), outputs]`."""
        super().__init__(inputs, outputs, 3, stride=stride, padding=1)

    def forward(self, values: Tensor) -> Tensor:
        """Convolve values `[B, L, inputs]` over time."""
        weight = self.weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        images = functional.conv2d(_as_images(values), weight, self.bias, (1, self.stride[0]), (0, 1))
        return images.squeeze(2).transpose(1, 2)


class TimeNorm(nn.GroupNorm):
    """Normalises groups of channels, as `nn.GroupNorm`, over `[B, L, C]`."""

    def forward(self, values: Tensor) -> Tensor:
        """Normalise values `[B, L, C]` over L and each group of channels."""
        return super().forward(_as_images(values)).squeeze(2).transpose(1, 2)


def _as_images(values: Tensor) -> Tensor:
    """View values `[B, L, C]` as images `[B, C, 1, L]`, without a copy."""
    return values.transpose(1, 2).unsqueeze(2)


class LastBarPath(nn.Linear):
    """Maps the last bar's features straight to what the heads add up: three logits and the forecast, `[B, 4]`.

    What a linear model can read off the last bar need not find its way through convolutions and recurrence then (Cheng
    et al. 2016, arXiv:1606.07792, call it the wide part). The map is zero until it is set or trained.

    The network's logits are those of class probabilities, as cross-entropy makes them. A loss that focuses on hard rows
    or smooths its targets is smallest at other logits, so the layer also knows what maps the ones to the others.

    Attributes:
        loss_scale, loss_shift: the loss of the training is computed on logits * scale + shift, `[1]` and `[3]`.
    """

    loss_scale: Tensor
    loss_shift: Tensor

    def __init__(self, features: int) -> None:
        """Build a layer for F features per bar."""
        super().__init__(features, len(CLASSES) + 1)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        self.register_buffer("loss_scale", torch.ones(1))
        self.register_buffer("loss_shift", torch.zeros(len(CLASSES)))

    def forward(self, windows: Tensor) -> Tensor:
        """Map windows `[B, L, F]`."""
        return super().forward(windows[:, -1])

    def for_loss(self, logits: Tensor) -> Tensor:
        """Return what the loss of the training is computed on, given logits `[B, 3]`."""
        return logits * self.loss_scale + self.loss_shift

    def set_direction(self, coefficients: np.ndarray, intercepts: np.ndarray, scale: float, shift: np.ndarray) -> None:
        """Set the part that is added to the logits, and what maps logits to those that the loss asks for.

        Args:
            coefficients: of each feature for each class, `[F, 3]`.
            intercepts: of each class, `[3]`.
            scale: see `loss_scale`.
            shift: see `loss_shift`, `[3]`.
        """
        with torch.no_grad():
            self.weight[: len(CLASSES)] = torch.from_numpy(coefficients.T).to(self.weight)
            self.bias[: len(CLASSES)] = torch.from_numpy(intercepts).to(self.bias)
            self.loss_scale.fill_(scale)
            self.loss_shift.copy_(torch.from_numpy(shift))


class ResidualBlock(nn.Module):
    """Adds conv - norm - GELU - dropout - conv - norm to its input, then GELU. He et al. 2016, arXiv:1512.03385.

    With a stride, the shortcut averages the input over it: as good as a strided convolution there (He et al. 2019,
    arXiv:1812.01187) and much cheaper on a CPU.
    """

    def __init__(self, channels: int, stride: int, dropout: Dropout) -> None:
        """Build a block that takes `[B, L, C]` to `[B, ceil(L / stride), C]`.

        Args:
            channels: C, channels in and out.
            stride: steps that the block makes into one.
            dropout: layer between the two convolutions, shared by all blocks.
        """
        super().__init__()
        self.stride = stride
        self.first = TimeConv(channels, channels, stride)
        self.first_norm = TimeNorm(4, channels)
        self.dropout = dropout
        self.second = TimeConv(channels, channels)
        self.second_norm = TimeNorm(4, channels)

    def forward(self, values: Tensor) -> Tensor:
        """Apply the block to values `[B, L, C]`."""
        hidden = self.dropout(functional.gelu(self.first_norm(self.first(values))))
        return functional.gelu(average_steps(values, self.stride) + self.second_norm(self.second(hidden)))


def average_steps(values: Tensor, stride: int) -> Tensor:
    """Average groups of `stride` steps of values `[B, L, C]`; the last group is smaller where L is no multiple.

    Args:
        values: the steps to average, `[B, L, C]`.
        stride: steps in a group.

    Returns:
        the means, `[B, ceil(L / stride), C]`.
    """
    if stride == 1:
        return values
    images = functional.avg_pool2d(_as_images(values), (1, stride), ceil_mode=True, count_include_pad=False)
    return images.squeeze(2).transpose(1, 2)


class AttentionPool(nn.Module):
    """Pools a window by multi-head attention of its last step over all steps. Vaswani et al. 2017, arXiv:1706.03762.

    Keys and values carry learned positions, counted back from the last step; steps further back than were learned share
    the first one, so that a longer window can be read (Shaw et al. 2018, arXiv:1803.02155, clip alike).

    With a single query, neither keys nor values need be computed for each step: q . (W_k x) = (W_k' q) . x, and a mean
    of W_v x is W_v of the mean. Keys have no bias: it would add the same to every step's score, which softmax ignores.
    """

    def __init__(self, width: int, heads: int, steps: int) -> None:
        """Build a layer that pools `[B, steps, D]` to `[B, D]`.

        Args:
            width: D, width of each step; the heads divide it among them, so it is a multiple of their number.
            heads: number of attention heads.
            steps: steps that positions are learned for.
        """
        super().__init__()
        self.heads = heads
        self.positions = nn.Parameter(torch.randn(steps, width) * 0.02)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, values: Tensor) -> Tensor:
        """Pool values `[B, L, D]` into a context `[B, D]`."""
        batch, steps, width = values.shape
        positioned = values + self._positions(steps)
        query = self.query(values[:, -1]).view(batch, self.heads, width // self.heads)
        # Shapes from here on: h heads, d = D / h.
        projected_query = torch.einsum("bhd,hde->bhe", query, self.key.weight.view(self.heads, -1, width))
        scores = torch.einsum("bhe,ble->bhl", projected_query, positioned) / math.sqrt(width // self.heads)
        means = torch.einsum("bhl,ble->bhe", scores.softmax(-1), positioned)
        context = torch.einsum("bhe,hde->bhd", means, self.value.weight.view(self.heads, -1, width))
        return torch.as_tensor(self.out(context.reshape(batch, width) + self.value.bias))

    def _positions(self, steps: int) -> Tensor:
        """Return the positions of the last `steps` steps, `[steps, D]`."""
        learned = len(self.positions)
        if steps <= learned:
            return self.positions[-steps:]
        return torch.cat([self.positions[:1].expand(steps - learned, -1), self.positions])


def init_lstm(lstm: nn.LSTM) -> None:
    """Initialise an LSTM: orthogonal recurrence, Xavier input, forget bias 1 (Jozefowicz et al. 2015)."""
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
