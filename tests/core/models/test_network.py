"""What every network has in common."""

from __future__ import annotations

import torch

from core.models.network import count_parameters


def test_only_trainable_values_are_counted() -> None:
    model = torch.nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    assert count_parameters(model) == 6
