"""Windows of bars: gathered by index on the device, and predicted in batches.

Shapes: T rows, F features, L bars in a window, B windows in a batch, N windows in all.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.models.network import Network, Prediction

PREDICTION_BATCH = 1024
"""Windows that are gathered and predicted at a time: what bounds the memory of a prediction."""


def gather_windows(features: Tensor, rows: Tensor, window: int) -> Tensor:
    """Gather the windows that end at the given rows.

    Args:
        features: scaled features of all bars, `[T, F]`, on any device.
        rows: int64 `[B]`, the row of each window's last bar; on the same device.
        window: L, bars in a window.

    Returns:
        the windows, `[B, L, F]`, oldest bar first.
    """
    return features[rows.unsqueeze(1) + torch.arange(1 - window, 1, device=rows.device)]


def predict_windows(model: Network, features: Tensor, rows: Tensor, window: int) -> Prediction:
    """Predict the windows that end at the given rows, in batches and without gradients.

    The model is left in evaluation mode.

    Args:
        model: the network, on the device of the features.
        features: scaled features of all bars, `[T, F]`.
        rows: int64 `[N]`, the row of each window's last bar; on the same device.
        window: L, bars in a window.

    Returns:
        the output of all heads for each row, float64 on the CPU: `[N, 3]`, `[N]`, `[N]`.
    """
    model.eval()
    with torch.inference_mode():
        batches = [model(gather_windows(features, batch, window)) for batch in torch.split(rows, PREDICTION_BATCH)]
        # Joined before they are copied: a copy waits for the GPU.
        return Prediction(*(torch.cat(outputs).double().cpu() for outputs in zip(*batches, strict=True)))
