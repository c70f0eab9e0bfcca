"""Augmentation of training windows: pure functions, each sample with a draw of its own.

Shapes: B samples, L bars, F features. Every function takes the generator it draws from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from core.config import AugmentConfig

NEARLY_PURE = 0.1
"""A blend with at most this share of a second sample still is the first one; small alphas leave most rows like that."""


def mixup_weights(batch: int, alpha: float, rng: np.random.Generator) -> Tensor:
    """One Beta(alpha, alpha) weight a sample, float32 `[B]`; alpha > 0. Zhang et al. 2018, arXiv:1710.09412."""
    return torch.from_numpy(rng.beta(alpha, alpha, size=batch).astype(np.float32))


def mixup(values: Tensor, partners: Tensor, weights: Tensor) -> Tensor:
    """Weights * values + (1 - weights) * values[partners], for values `[B, ...]`, partners and weights `[B]`."""
    shaped = weights.reshape(-1, *([1] * (values.ndim - 1))).to(values.dtype)
    return torch.lerp(values[partners], values, shaped)


def time_mask(windows: Tensor, longest: float, generator: Generator) -> Tensor:
    """Blank one random stretch of bars a sample, of 0 to `longest` (a share of L) bars, in windows `[B, L, F]`.

    SpecAugment, Park et al. 2019, arXiv:1904.08779. The blank value 0 is the train median.
    """
    batch, length, _ = windows.shape
    device = windows.device
    widths = (torch.rand(batch, 1, generator=generator, device=device) * (int(longest * length) + 1)).floor()
    starts = (torch.rand(batch, 1, generator=generator, device=device) * (length - widths + 1)).floor()
    bars = torch.arange(length, device=device)
    masked = (bars >= starts) & (bars < starts + widths)
    return windows.masked_fill(masked.unsqueeze(-1), 0.0)


def gaussian_noise(windows: Tensor, std: float, generator: Generator) -> Tensor:
    """Add N(0, std^2) to every value of windows `[B, L, F]`."""
    noise = torch.randn(windows.shape, generator=generator, device=windows.device, dtype=windows.dtype)
    return noise.mul_(std).add_(windows)


def feature_dropout(windows: Tensor, probability: float, generator: Generator) -> Tensor:
    """Blank each feature of each sample, over its whole window, with this probability, in windows `[B, L, F]`."""
    batch, _, count = windows.shape
    dropped = torch.rand(batch, 1, count, generator=generator, device=windows.device) < probability
    return windows.masked_fill(dropped, 0.0)


@dataclass(frozen=True)
class Augmented:
    """A training batch after augmentation.

    Attributes:
        windows: `[B, L, F]`.
        targets: class probabilities `[B, 3]`.
        returns: scaled forward returns `[B]`.
        mixed: bool `[B]`, rows that are blends of two samples, neither of which makes up nearly all.
    """

    windows: Tensor
    targets: Tensor
    returns: Tensor
    mixed: Tensor


class Augmenter:
    """Applies what an AugmentConfig switches on."""

    def __init__(self, config: AugmentConfig, generator: Generator, rng: np.random.Generator) -> None:
        """Draw on the device from `generator`, and mixup's weights, for which torch takes none, from `rng`."""
        self.config = config
        self.generator = generator
        self.rng = rng

    def __call__(self, windows: Tensor, targets: Tensor, returns: Tensor) -> Augmented:
        """Augment windows `[B, L, F]` with one-hot targets `[B, 3]` and returns `[B]`."""
        config = self.config
        if config.time_mask > 0:
            windows = time_mask(windows, config.time_mask, self.generator)
        if config.feature_dropout > 0:
            windows = feature_dropout(windows, config.feature_dropout, self.generator)
        if config.noise_std > 0:
            windows = gaussian_noise(windows, config.noise_std, self.generator)
        batch, device = len(windows), windows.device
        if config.mixup_alpha == 0:
            return Augmented(windows, targets, returns, torch.zeros(batch, dtype=torch.bool, device=device))
        weights = mixup_weights(batch, config.mixup_alpha, self.rng).to(device)
        partners = torch.randperm(batch, generator=self.generator, device=device)
        return Augmented(
            mixup(windows, partners, weights),
            mixup(targets, partners, weights),
            mixup(returns, partners, weights),
            (partners != torch.arange(batch, device=device)) & (torch.minimum(weights, 1 - weights) > NEARLY_PURE),
        )
