"""How much memory a training step needs, found by running one on a few windows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.config import ModelConfig, ModelSize
from core.models.cnn_lstm import build_model, count_parameters


def default_size(device: torch.device) -> ModelSize:
    """The model size that suits a device when none is named."""
    return "small" if device.type == "cuda" else "quick"


_PROBES = (2, 6)
"""Windows of the two probes; what each layer keeps is a constant and a share of each window."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a training step holds at its peak.

    Attributes:
        state: weights, gradients and AdamW's two moments, in float32.
        activations: what forward keeps for backward, in float32; bfloat16 on a GPU needs about half.
    """

    state: int
    activations: int

    @property
    def total(self) -> int:
        """Both."""
        return self.state + self.activations


def estimate_memory(config: ModelConfig, features: int, window: int, batch_size: int) -> MemoryEstimate:
    """Memory of one training step of a model, without its data and torch itself.

    Args:
        config: size and dropout.
        features: F.
        window: L.
        batch_size: windows a step.
    """
    model = build_model(config, features, window, 0, torch.device("cpu")).train()
    few, more = (_kept(model, torch.zeros(probe, window, features)) for probe in _PROBES)
    each = (more - few) / (_PROBES[1] - _PROBES[0])
    activations = few + each * (batch_size - _PROBES[0])
    return MemoryEstimate(16 * count_parameters(model), round(activations))


def _kept(model: nn.Module, windows: Tensor) -> int:
    """Bytes that forward keeps for backward, weights apart."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}  # by storage; holding the tensors keeps an address from being used again

    def keep(tensor: Tensor) -> Tensor:
        if (address := tensor.untyped_storage().data_ptr()) not in own:
            kept[address] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(windows)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
