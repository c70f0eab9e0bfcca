"""The losses of the three heads. Shapes: B samples, 3 classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.config import LossConfig


def smooth(targets: Tensor, smoothing: float) -> Tensor:
    """Spread `smoothing` of the mass of targets `[B, 3]` evenly over the classes. Szegedy et al. 2016."""
    return targets * (1 - smoothing) + smoothing / targets.shape[-1]


def focal_loss(logits: Tensor, targets: Tensor, gamma: float, weights: Tensor) -> Tensor:
    """Focal loss on soft targets: mean over B of sum_k q_k a_k (1 - p_k)^gamma (-log p_k).

    Lin et al. 2017, arXiv:1708.02002; linear in q, so mixup of targets is mixup of losses.

    Args:
        logits: `[B, 3]`.
        targets: q, class probabilities `[B, 3]`.
        gamma: focusing exponent; 0 is cross-entropy.
        weights: a, one a class, `[3]`.

    Returns:
        scalar.
    """
    log_p = functional.log_softmax(logits, dim=-1)
    cost = -log_p
    if gamma > 0:
        # The slope of x^gamma at 0 is infinite for gamma < 1: keep 1 - p away from it.
        tiny = torch.finfo(log_p.dtype).eps
        cost = cost * (-torch.expm1(log_p)).clamp_min(tiny) ** gamma
    return (targets * weights * cost).sum(-1).mean()


def directional_accuracy_loss(logits: Tensor, targets: Tensor, opposite: float = 2.0, neutral: float = 1.0) -> Tensor:
    """Expected cost of a call: the opposite direction costs more than a neutral one; linear in the targets.

    Args:
        logits: `[B, 3]`.
        targets: class probabilities `[B, 3]`.
        opposite: cost of BUY where SELL is right, and the other way round.
        neutral: cost of HOLD where a direction is right, and the other way round.

    Returns:
        scalar: mean over B of sum_ij q_i p_j C_ij, in 0..opposite.
    """
    cost = logits.new_tensor([[0.0, neutral, opposite], [neutral, 0.0, neutral], [opposite, neutral, 0.0]])
    return torch.einsum("bi,ij,bj->b", targets, cost, logits.softmax(-1)).mean()


class LabelSmoothingCrossEntropy(nn.Module):
    """Cross-entropy on smoothed targets; equals torch's for hard ones. Szegedy et al. 2016, arXiv:1512.00567."""

    def __init__(self, smoothing: float = 0.1) -> None:
        """Spread `smoothing` of the mass over the classes."""
        super().__init__()
        self.smoothing = smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of logits `[B, 3]` on class probabilities `[B, 3]`."""
        return functional.cross_entropy(logits, smooth(targets, self.smoothing))


class FocalLoss(nn.Module):
    """`focal_loss` with its exponent and class weights kept."""

    weights: Tensor

    def __init__(self, gamma: float = 2.5, weights: Tensor | None = None) -> None:
        """Take the exponent and the class weights `[3]`, all 1 if not given."""
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weights", torch.ones(3) if weights is None else weights)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of logits `[B, 3]` on class probabilities `[B, 3]`."""
        return focal_loss(logits, targets, self.gamma, self.weights)


class DirectionalAccuracyLoss(nn.Module):
    """`directional_accuracy_loss` with its costs kept."""

    def __init__(self, opposite: float = 2.0, neutral: float = 1.0) -> None:
        """Take the costs of an opposite and of a neutral call."""
        super().__init__()
        self.opposite = opposite
        self.neutral = neutral

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean expected cost of logits `[B, 3]` on class probabilities `[B, 3]`."""
        return directional_accuracy_loss(logits, targets, self.opposite, self.neutral)


class MultiTaskLoss(nn.Module):
    """Direction (focal), confidence (BCE to 'was the call right') and return (Huber), weighted and added.

    Class weights enter the direction loss only.
    """

    weights: Tensor

    def __init__(self, config: LossConfig, weights: Tensor) -> None:
        """Take the class weights `[3]`."""
        super().__init__()
        self.config = config
        self.register_buffer("weights", weights)

    def forward(
        self, direction: Tensor, confidence: Tensor, forecast: Tensor, targets: Tensor, returns: Tensor, mixed: Tensor
    ) -> Tensor:
        """The loss of one batch.

        Args:
            direction: logits `[B, 3]`.
            confidence: logits `[B]`.
            forecast: forecast of the scaled return `[B]`.
            targets: class probabilities `[B, 3]`.
            returns: scaled forward returns `[B]`.
            mixed: bool `[B]`; mixed rows have no right answer to be confident of and are skipped there (blends with
                hardly anything of a second sample are not among them: see `core.training.augment`).
        """
        config = self.config
        loss = config.direction_weight * focal_loss(
            direction, smooth(targets, config.label_smoothing), config.focal_gamma, self.weights
        )
        if config.opposite_weight > 0:
            loss = loss + config.opposite_weight * directional_accuracy_loss(direction, targets)
        if config.confidence_weight > 0:
            right = (direction.detach().argmax(-1) == targets.argmax(-1)).to(confidence.dtype)
            each = functional.binary_cross_entropy_with_logits(confidence, right, reduction="none")
            pure = (~mixed).to(each.dtype)
            loss = loss + config.confidence_weight * (each * pure).sum() / pure.sum().clamp_min(1)
        if config.return_weight > 0:
            loss = loss + config.return_weight * functional.huber_loss(forecast, returns)
        return loss
