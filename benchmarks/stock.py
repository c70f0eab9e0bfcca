"""The same network from torch's own modules, as one would write it without this project.

`tests/parity` holds it against `core.models.cnn_lstm`, so that the benchmark compares like with like.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.models.cnn_lstm import DIMENSIONS, HybridCNNLSTM, steps_after
from core.models.network import Prediction


class StockBlock(nn.Module):
    """A residual block."""

    def __init__(self, channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(channels, channels, 3, stride=stride, padding=1),
            nn.GroupNorm(4, channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.GroupNorm(4, channels),
        )
        self.skip = nn.Identity() if stride == 1 else nn.AvgPool1d(stride, ceil_mode=True)
        self.last = nn.GELU()

    def forward(self, values: Tensor) -> Tensor:
        """Values `[B, C, L]` to `[B, C, ceil(L / stride)]`."""
        return torch.as_tensor(self.last(self.skip(values) + self.body(values)))


class StockHybrid(nn.Module):
    """Residual convolutions, bidirectional LSTM, `nn.MultiheadAttention` over all steps, three heads."""

    def __init__(self, config: ModelConfig, features: int, window: int) -> None:
        super().__init__()
        size = DIMENSIONS[config.size]
        width = 2 * size.hidden
        self.stem = nn.Sequential(nn.Conv1d(features, size.channels, 3, padding=1), nn.GELU())
        self.blocks = nn.Sequential(*(StockBlock(size.channels, s, config.dropout) for s in size.strides))
        self.lstm = nn.LSTM(size.channels, size.hidden, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(width)
        self.positions = nn.Parameter(torch.randn(steps_after(window, size.strides), width) * 0.02)
        self.attention = nn.MultiheadAttention(width, size.heads, batch_first=True)
        self.context_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)
        self.direction, self.confidence, self.forecast = nn.Linear(width, 3), nn.Linear(width, 1), nn.Linear(width, 1)
        self.last_bar = nn.Linear(features, 4) if config.last_bar != "none" else None

    def forward(self, windows: Tensor) -> Prediction:
        """Predict from windows `[B, L, F]`."""
        steps, _ = self.lstm(self.blocks(self.stem(windows.transpose(1, 2))).transpose(1, 2))
        steps = self.norm(steps)
        placed = steps + self.positions
        attended, _ = self.attention(steps, placed, placed, need_weights=False)
        context = self.dropout(self.context_norm(steps[:, -1] + attended[:, -1]))
        direction, forecast = self.direction(context), self.forecast(context)
        if self.last_bar is not None:
            added = self.last_bar(windows[:, -1])
            direction, forecast = direction + added[:, :3], forecast + added[:, 3:]
        return Prediction(direction, self.confidence(context).squeeze(-1), forecast.squeeze(-1))

    def load_from(self, ours: HybridCNNLSTM) -> None:
        """Take the weights of the project's own network."""
        mine, theirs = {}, ours.state_dict()
        inner = {"first": "0", "first_norm": "1", "second": "4", "second_norm": "5"}
        for name, value in theirs.items():
            part = name.split(".")
            if part[0] == "stem":
                mine[f"stem.0.{part[1]}"] = value
            elif part[0] == "blocks":
                mine[f"blocks.{part[1]}.body.{inner[part[2]]}.{part[3]}"] = value
            elif name == "attention.positions":
                mine["positions"] = value
            elif part[0] != "attention" and part[-1] not in ("loss_scale", "loss_shift"):
                mine[name] = value
        # A bias of the keys has no effect.
        theirs["attention.key.bias"] = torch.zeros_like(theirs["attention.query.bias"])
        for kind in ("weight", "bias"):
            parts = [theirs[f"attention.{part}.{kind}"] for part in ("query", "key", "value")]
            mine[f"attention.in_proj_{kind}"] = torch.cat(parts)
            mine[f"attention.out_proj.{kind}"] = theirs[f"attention.out.{kind}"]
        self.load_state_dict(mine)
