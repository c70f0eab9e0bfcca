"""Averages the weights of a network over the steps of its training.

The average is a better model than the weights of any one step, which follow the noise of the last batches. Polyak &
Juditsky 1992; as an exponential moving average, Tarvainen & Valpola 2017, arXiv:1703.01780.
"""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from core.models.network import Network

_WARM_UP = 10
"""Steps over which the average begins to reach back: after t steps it keeps no more than (1 + t) / (10 + t)."""


class WeightAverage(AveragedModel):
    """Keeps an exponential moving average of a model's weights, to be updated after each optimizer step.

    Attributes:
        module: the network with the averaged weights.
        decay: share of the average that a step keeps, once enough of them have been taken.
    """

    module: Network

    def __init__(self, model: Network, decay: float) -> None:
        """Begin at the weights of a model, and average with this decay."""
        super().__init__(model)
        self.decay = decay
        for layer in self.module.modules():
            if isinstance(layer, nn.LSTM):  # on a GPU, a copy of its weights is slow until they lie together again
                layer.flatten_parameters()

    def update_parameters(self, model: nn.Module) -> None:
        """Take the present weights of the model into the average."""
        steps = int(self.n_averaged)  # lies on the CPU, so reading it does not wait for the GPU
        # Of all weights at once: one by one, this took a GPU as long as the rest of the step.
        kept = min(self.decay, (1 + steps) / (_WARM_UP + steps))
        self.multi_avg_fn = get_ema_multi_avg_fn(kept)  # type: ignore[no-untyped-call]
        super().update_parameters(model)
