"""Builds the network that a recipe names."""

from __future__ import annotations

import numpy as np
import torch

from core.config import ModelConfig
from core.models.cnn_lstm import HybridCNNLSTM
from core.models.network import Network


def build_model(config: ModelConfig, features: int, window: int, seed: int, device: torch.device) -> Network:
    """Build a freshly initialised model; the same for the same seed, whatever the process drew before.

    Args:
        config: size and dropout of the model.
        features: F, features per bar.
        window: L, bars in a window.
        seed: seed of the initial weights and of the dropout.
        device: device that the model will run on.
    """
    # Not the seed itself: the dropout would draw the numbers again that the weights were made of.
    generator = torch.Generator(device).manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU too
        model = HybridCNNLSTM(config, features, window, generator)
    return model.to(device)
