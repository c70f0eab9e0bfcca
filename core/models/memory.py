"""Estimates the memory of a training step from one that is run on a few windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.config import ModelConfig, ModelSize
from core.models.build import build_model
from core.models.network import count_parameters


def default_size(device: torch.device) -> ModelSize:
    """Return the model size that suits a device when none is named."""
    return "small" if device.type == "cuda" else "quick"


_PROBE_WINDOWS = (2, 6)
"""Windows of the two probes; what each layer keeps is a constant and a share per window."""
_BYTES_PER_PARAMETER = 20
"""Weight, its average, gradient and AdamW's two moments, each in float32."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Holds the bytes that a training step occupies at its peak.

    Attributes:
        state: weights, their average, gradients and AdamW's two moments, in float32.
        activations: what forward keeps for backward, in float32; bfloat16 on a GPU needs about half.
    """

    state: int
    activations: int

    @property
    def total(self) -> int:
        """Return the bytes of state and activations together."""
        return self.state + self.activations


def estimate_memory(config: ModelConfig, features: int, window: int, batch_size: int) -> MemoryEstimate:
    """Estimate the memory of one training step of a model, without its data and torch itself.

    Args:
        config: size and dropout of the model.
        features: F, features per bar.
        window: L, bars in a window.
        batch_size: number of windows in a step.

    Returns:
        the bytes of the weights' state and of the activations.
    """
    model = build_model(config, features, window, 0, torch.device("cpu")).train()
    few, many = (_saved_bytes(model, torch.zeros(count, window, features)) for count in _PROBE_WINDOWS)
    per_window = (many - few) / (_PROBE_WINDOWS[1] - _PROBE_WINDOWS[0])
    activations = few + per_window * (batch_size - _PROBE_WINDOWS[0])
    return MemoryEstimate(_BYTES_PER_PARAMETER * count_parameters(model), round(activations))


def _saved_bytes(model: nn.Module, windows: Tensor) -> int:
    """Count the bytes that forward keeps for backward of windows `[B, L, F]`, without the weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved: dict[int, Tensor] = {}  # by storage; holding the tensors keeps an address from being used again

    def save(tensor: Tensor) -> Tensor:
        if (address := tensor.untyped_storage().data_ptr()) not in weights:
            saved[address] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        model(windows)
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
