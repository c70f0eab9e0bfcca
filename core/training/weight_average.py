"""Averages the weights of a network over the steps of its training.

The average is a better model than the weights of any one step, which follow the noise of the last batches. Polyak &
Juditsky 1992; as an exponential moving average, Tarvainen & Valpola 2017, arXiv:1703.01780.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from core.models.network import Network

_WARM_UP = 10
"""Steps over which the average begins to reach back: after t steps it keeps no more than (1 + t) / (10 + t)."""


def make_weight_average(model: Network, decay: float) -> AveragedModel:
    """Return an exponential moving average of the weights of a model, to be updated after each optimizer step.

    Args:
        model: the model that is trained.
        decay: share of the average that a step keeps, once enough of them have been taken.
    """

    def average(averaged: Tensor, present: Tensor, count: Tensor | int) -> Tensor:
        steps = torch.as_tensor(count)  # stays a tensor: to read it would wait for the GPU
        kept = ((1 + steps) / (_WARM_UP + steps)).clamp(max=decay)
        return averaged.lerp(present, (1 - kept).to(averaged.dtype))

    return AveragedModel(model, avg_fn=average)
