"""A small network to test."""

from __future__ import annotations

import torch

from core.config import LastBarPath, ModelConfig, ModelSize
from core.models.build import build_model
from core.models.network import Network

CPU = torch.device("cpu")


def build_network(
    window: int = 16, seed: int = 0, size: ModelSize = "quick", dropout: float = 0.3, last_bar: LastBarPath = "none"
) -> Network:
    return build_model(ModelConfig(size=size, dropout=dropout, last_bar=last_bar), 5, window, seed, CPU)
