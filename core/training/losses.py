"""Losses of the three heads, and the one that a recipe names.

Class weights multiply what a row costs by the weight of its true class, in each loss of the direction head.

Shapes: B samples, 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.config import LossConfig


def smooth_targets(targets: Tensor, smoothing: float) -> Tensor:
    """Spread `smoothing` of the mass of targets `[B, 3]` evenly over the classes. Szegedy et al. 2016."""
    return targets * (1 - smoothing) + smoothing / targets.shape[-1]


def focal_loss(logits: Tensor, targets: Tensor, gamma: float, weights: Tensor) -> Tensor:
    """Compute the focal loss on soft targets: mean over B of sum_k q_k a_k (1 - p_k)^gamma (-log p_k).

    Lin et al. 2017, arXiv:1708.02002; linear in q, so mixup of targets is mixup of losses.

    Args:
        logits: raw output of the direction head, `[B, 3]`.
        targets: q, class probabilities, `[B, 3]`.
        gamma: focusing exponent; 0 is cross-entropy.
        weights: a, weight of each class, `[3]`.

    Returns:
        the loss, a scalar.
    """
    log_p = functional.log_softmax(logits, dim=-1)
    cost = -log_p
    if gamma > 0:
        # The slope of x^gamma at 0 is infinite for gamma < 1: keep 1 - p away from it.
        epsilon = torch.finfo(log_p.dtype).eps
        cost = cost * (-torch.expm1(log_p)).clamp_min(epsilon) ** gamma
    return (targets * weights * cost).sum(-1).mean()


def directional_accuracy_loss(
    logits: Tensor, targets: Tensor, opposite: float = 2.0, neutral: float = 1.0, weights: Tensor | None = None
) -> Tensor:
    """Compute the expected cost of a call: the opposite direction costs more than a neutral one. Linear in targets.

    Where nothing can be told, calling HOLD costs least: without skill a model that minimises it calls HOLD alone.

    Args:
        logits: raw output of the direction head, `[B, 3]`.
        targets: q, class probabilities, `[B, 3]`.
        opposite: cost of BUY where SELL is right, and the other way round.
        neutral: cost of HOLD where a direction is right, and the other way round.
        weights: a, weight of each true class, `[3]`; all 1 if not given.

    Returns:
        the loss, a scalar: mean over B of sum_ij a_i q_i p_j C_ij, with the costs C; in 0..opposite without weights.
    """
    if weights is not None:
        targets = targets * weights
    cost = logits.new_tensor([[0.0, neutral, opposite], [neutral, 0.0, neutral], [opposite, neutral, 0.0]])
    return torch.einsum("bi,ij,bj->b", targets, cost, logits.softmax(-1)).mean()


class LabelSmoothingCrossEntropy(nn.Module):
    """Computes cross-entropy on smoothed targets. Szegedy et al. 2016, arXiv:1512.00567.

    On hard targets without class weights it is torch's. With weights it is the mean over the rows, where torch's is
    divided by the sum of their weights.
    """

    weights: Tensor

    def __init__(self, smoothing: float = 0.1, weights: Tensor | None = None) -> None:
        """Build a loss that spreads `smoothing` of the mass evenly, with class weights `[3]`, all 1 if not given."""
        super().__init__()
        self.smoothing = smoothing
        self.register_buffer("weights", torch.ones(3) if weights is None else weights)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits `[B, 3]` on class probabilities `[B, 3]`."""
        return functional.cross_entropy(logits, smooth_targets(targets, self.smoothing), self.weights.to(logits))


class FocalLoss(nn.Module):
    """Computes `focal_loss` with an exponent and class weights that it keeps."""

    weights: Tensor

    def __init__(self, gamma: float = 2.5, weights: Tensor | None = None) -> None:
        """Build a loss with this focusing exponent and these class weights `[3]`, all 1 if not given."""
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weights", torch.ones(3) if weights is None else weights)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits `[B, 3]` on class probabilities `[B, 3]`."""
        return focal_loss(logits, targets, self.gamma, self.weights)


class DirectionalAccuracyLoss(nn.Module):
    """Computes `directional_accuracy_loss` with costs and class weights that it keeps."""

    weights: Tensor

    def __init__(self, opposite: float = 2.0, neutral: float = 1.0, weights: Tensor | None = None) -> None:
        """Build a loss with these costs of a call in the opposite direction and of a neutral one.

        Args:
            opposite: cost of BUY where SELL is right, and the other way round.
            neutral: cost of HOLD where a direction is right, and the other way round.
            weights: class weights, `[3]`; all 1 if not given.
        """
        super().__init__()
        self.opposite = opposite
        self.neutral = neutral
        self.register_buffer("weights", torch.ones(3) if weights is None else weights)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean expected cost of logits `[B, 3]` on class probabilities `[B, 3]`."""
        return directional_accuracy_loss(logits, targets, self.opposite, self.neutral, self.weights)


class MultiTaskLoss(nn.Module):
    """Adds up the weighted losses of direction (focal), confidence (BCE to 'was the call right') and return (Huber).

    Class weights enter the direction loss only.
    """

    weights: Tensor

    def __init__(self, config: LossConfig, weights: Tensor) -> None:
        """Build the loss.

        Args:
            config: weight and settings of each part.
            weights: class weights of the direction loss, `[3]`.
        """
        super().__init__()
        self.config = config
        self.register_buffer("weights", weights)

    def forward(
        self, direction: Tensor, confidence: Tensor, forecast: Tensor, targets: Tensor, returns: Tensor, mixed: Tensor
    ) -> Tensor:
        """Compute the loss of one batch.

        Args:
            direction: logits of the classes, `[B, 3]`.
            confidence: logits of 'the call is right', `[B]`.
            forecast: forecast of the scaled forward return, `[B]`.
            targets: class probabilities, `[B, 3]`.
            returns: scaled forward returns, `[B]`.
            mixed: bool `[B]`; mixed samples have no right answer to be confident of, so the confidence loss leaves them
                out (blends with hardly anything of a second sample are not among them: see `core.training.augment`).

        Returns:
            the loss, a scalar.
        """
        config = self.config
        loss = config.direction_weight * focal_loss(
            direction, smooth_targets(targets, config.label_smoothing), config.focal_gamma, self.weights
        )
        if config.opposite_weight > 0:
            loss = loss + config.opposite_weight * directional_accuracy_loss(direction, targets)
        if config.confidence_weight > 0:
            correct = (direction.detach().argmax(-1) == targets.argmax(-1)).to(confidence.dtype)
            losses = functional.binary_cross_entropy_with_logits(confidence, correct, reduction="none")
            pure = (~mixed).to(losses.dtype)
            loss = loss + config.confidence_weight * (losses * pure).sum() / pure.sum().clamp_min(1)
        if config.return_weight > 0:
            loss = loss + config.return_weight * functional.huber_loss(forecast, returns)
        return loss


class DirectionLoss(nn.Module):
    """Applies a loss of the direction head to the output of all heads; confidence and return are not trained."""

    def __init__(self, loss: nn.Module) -> None:
        """Keep the loss, which takes logits and class probabilities, `[B, 3]` each."""
        super().__init__()
        self.loss = loss

    def forward(
        self, direction: Tensor, confidence: Tensor, forecast: Tensor, targets: Tensor, returns: Tensor, mixed: Tensor
    ) -> Tensor:
        """Compute the loss of one batch, a scalar; see `MultiTaskLoss.forward` for the arguments."""
        loss: Tensor = self.loss(direction, targets)
        return loss


def make_loss(config: LossConfig, weights: Tensor) -> nn.Module:
    """Make the loss that a recipe names; it is called as `MultiTaskLoss` is, whatever its kind.

    Args:
        config: kind and settings of the loss.
        weights: class weights, `[3]`.
    """
    match config.kind:
        case "multi_task":
            return MultiTaskLoss(config, weights)
        case "focal":
            return DirectionLoss(FocalLoss(config.focal_gamma, weights))
        case "label_smoothing":
            return DirectionLoss(LabelSmoothingCrossEntropy(config.label_smoothing, weights))
        case "directional_accuracy":
            return DirectionLoss(DirectionalAccuracyLoss(weights=weights))
