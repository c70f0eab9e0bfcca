"""Compares the training step with one written independently, from torch's own modules and the papers' formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.stock import StockHybrid
from core.config import AugmentConfig, BalanceConfig, LossConfig, ModelConfig, ModelSize, TrainerConfig, TrainingConfig
from core.data.dataset import Dataset
from core.training.trainer import Trainer
from tests.helpers.market import cut

CPU = torch.device("cpu")
STEPS, BATCH = 20, 16
SCALE, SHIFT = 0.6, (0.1, -0.3, 0.2)
"""What the loss is computed on: logits * scale + shift."""
OFF = AugmentConfig(mixup_alpha=0.0, time_mask=0.0, noise_std=0.0, feature_dropout=0.0)


def _config(size: ModelSize, **loss: float) -> TrainingConfig:
    return TrainingConfig(
        model=ModelConfig(size=size, dropout=0.0),
        loss=LossConfig(**loss),
        augment=OFF,
        balance=BalanceConfig(class_weights="balanced"),
        trainer=TrainerConfig(
            learning_rate=2e-3, batch_size=BATCH, weight_decay=0.05, schedule="constant", warmup_steps=5, clip_norm=0.5
        ),
    )


def _plain_loop(config: TrainingConfig, dataset: Dataset, start: nn.Module, batches: list[np.ndarray]) -> list[float]:
    """Return the losses of a training loop that shares no line with `core`, from the same initial weights."""
    model = StockHybrid(config.model, dataset.features.shape[1], dataset.window).double().train()
    model.load_from(start)  # type: ignore[arg-type]
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0}])
    counts = np.bincount(dataset.labels[dataset.train], minlength=3)
    weights = torch.tensor(counts.sum() / (3 * counts))
    losses = []
    for step, rows in enumerate(batches, start=1):
        windows = torch.stack([torch.tensor(dataset.features[row - dataset.window + 1 : row + 1]) for row in rows])
        labels = torch.tensor(dataset.labels[rows].astype(int))
        returns = torch.tensor(dataset.returns[rows]).double()
        loss = _loss(config.loss, weights, model(windows.double()), labels, returns)
        model.zero_grad()
        loss.backward()
        norm = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
        for parameter in model.parameters():
            if parameter.grad is not None and norm > 0.5:
                parameter.grad *= 0.5 / norm
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(step / 5, 1)
        optimizer.step()
        losses.append(loss.item())
    return losses


def _move_what_starts_at_zero(model: Any) -> None:
    """Set the head of the direction and the path from the last bar to random weights: zeros would hide differences."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in [*model.direction.parameters(), *model.last_bar.parameters()]:
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))


def _loss(config: LossConfig, weights: Tensor, heads: Any, labels: Tensor, returns: Tensor) -> Tensor:
    direction, confidence, forecast = heads
    direction = SCALE * direction + torch.tensor(SHIFT, dtype=torch.float64)
    p = torch.softmax(direction, dim=1)
    q = (1 - config.label_smoothing) * nn.functional.one_hot(labels, 3).double() + config.label_smoothing / 3
    focal = (q * weights * (1 - p) ** config.focal_gamma * -p.log()).sum(dim=1).mean()
    right = (direction.argmax(dim=1) == labels).double()
    sure = torch.sigmoid(confidence)
    doubt = -(right * sure.log() + (1 - right) * (1 - sure).log()).mean()
    error = (forecast - returns).abs()
    huber = torch.where(error <= 1, error**2 / 2, error - 0.5).mean()
    total = config.direction_weight * focal + config.confidence_weight * doubt + config.return_weight * huber
    if config.opposite_weight:
        distance = (torch.arange(3)[:, None] - torch.arange(3)).abs().double()
        one_hot = nn.functional.one_hot(labels, 3).double()
        total = total + config.opposite_weight * ((one_hot @ distance) * p).sum(dim=1).mean()
    return total


@pytest.mark.parametrize(
    ("size", "loss"),
    [
        ("quick", {}),
        ("quick", {"focal_gamma": 0.5, "label_smoothing": 0.0, "opposite_weight": 0.7}),
        ("small", {"focal_gamma": 0.0, "confidence_weight": 0.2, "return_weight": 1.0}),
    ],
)
def test_twenty_steps_are_those_of_a_plain_loop(dataset: Dataset, size: ModelSize, loss: dict[str, float]) -> None:
    config = _config(size, **loss)
    trainer = Trainer(config, cut(dataset, train=STEPS * BATCH), CPU, torch.float64)
    _move_what_starts_at_zero(trainer.model)
    assert trainer.model.last_bar_path is not None
    trainer.model.last_bar_path.loss_scale.fill_(SCALE)
    trainer.model.last_bar_path.loss_shift.copy_(torch.tensor(SHIFT))
    trainer.model.train()
    rng = np.random.default_rng(0)
    batches = np.split(rng.permutation(dataset.train[: STEPS * BATCH]), STEPS)
    expected = _plain_loop(config, cut(dataset, train=STEPS * BATCH), trainer.model, batches)
    losses = [trainer._step(torch.from_numpy(rows)).item() for rows in batches]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("size", ["quick", "small", "large"])
@pytest.mark.parametrize("window", [15, 60])
def test_the_network_is_the_one_from_torchs_own_modules(size: ModelSize, window: int) -> None:
    from core.models.build import build_model

    config = ModelConfig(size=size)
    ours = build_model(config, 7, window, 0, CPU).double().eval()
    stock = StockHybrid(config, 7, window).double().eval()
    windows = torch.randn(5, window, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _move_what_starts_at_zero(ours)
    stock.load_from(ours)
    for output, reference in zip(ours(windows), stock(windows), strict=True):
        torch.testing.assert_close(output, reference, rtol=1e-12, atol=1e-12)
