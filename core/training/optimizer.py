"""Makes the optimizer, and sets its learning rate over steps and epochs."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import lr_scheduler

from core.config import TrainerConfig

LearningRateSchedule = lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau
PLATEAU_THRESHOLD = 1e-4
"""Smallest rise of the ranking score, in its own unit, that ends a plateau: what one call in 10,000 changes."""


def make_optimizer(model: nn.Module, config: TrainerConfig) -> torch.optim.AdamW:
    """Make an AdamW (Loshchilov & Hutter 2019) that decays matrices and kernels, but no biases and norms."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    # Fused: one pass over all parameters; it takes a fifth of the time on a CPU.
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def make_schedule(optimizer: torch.optim.Optimizer, config: TrainerConfig) -> LearningRateSchedule:
    """Make the schedule of the learning rate over the epochs.

    Args:
        optimizer: the optimizer whose rates it sets.
        config: kind of the schedule, and the epochs that a cosine spans.
    """
    match config.schedule:
        case "constant":
            return lr_scheduler.ConstantLR(optimizer, factor=1.0, total_iters=0)
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, T_max=config.epochs)
        case "warm_restarts":
            # SGDR, Loshchilov & Hutter 2017: restarts after 10, 30, 70, 150 epochs.
            return lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=10, T_mult=2)
        case "plateau":
            # An absolute rise: in proportion to a negative best (-nll), even a slightly worse score would count as one.
            return lr_scheduler.ReduceLROnPlateau(
                optimizer, mode="max", factor=0.5, patience=5, threshold=PLATEAU_THRESHOLD, threshold_mode="abs"
            )


def warmed_up_step(optimizer: torch.optim.Optimizer, step: int, warmup_steps: int) -> None:
    """Take one optimizer step; over the first ones the learning rate rises. Goyal et al. 2017, arXiv:1706.02677.

    Args:
        optimizer: the optimizer, with the learning rates of its schedule; they are the same afterwards.
        step: number of this step in the training, counted from 1.
        warmup_steps: steps over which the rate rises to the schedule's; 0 for none.
    """
    share = min(step / max(warmup_steps, 1), 1.0)
    groups = optimizer.param_groups
    scheduled = [group["lr"] for group in groups]
    for group in groups:
        group["lr"] *= share
    optimizer.step()
    # Some schedules compute the next rate from the present one, so it must be theirs again.
    for group, rate in zip(groups, scheduled, strict=True):
        group["lr"] = rate
