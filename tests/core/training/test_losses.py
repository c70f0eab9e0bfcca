from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from core.config import LossConfig
from core.training.losses import (
    DirectionalAccuracyLoss,
    FocalLoss,
    LabelSmoothingCrossEntropy,
    MultiTaskLoss,
    directional_accuracy_loss,
    focal_loss,
    make_loss,
    smooth_targets,
)

ONES = torch.ones(3, dtype=torch.float64)
WEIGHTS = torch.tensor([2.0, 1.0, 0.5])


def _example(batch: int = 8) -> tuple[Tensor, Tensor]:
    """Logits and soft targets."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(batch, 3, generator=generator, dtype=torch.float64)
    targets = torch.rand(batch, 3, generator=generator, dtype=torch.float64)
    return logits, targets / targets.sum(-1, keepdim=True)


def test_without_focus_it_is_cross_entropy_on_soft_targets() -> None:
    logits, targets = _example()
    torch.testing.assert_close(focal_loss(logits, targets, 0.0, ONES), functional.cross_entropy(logits, targets))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_smoothed_targets_are_torchs_label_smoothing(smoothing: float) -> None:
    logits, _ = _example()
    labels = torch.arange(8) % 3
    hard = functional.one_hot(labels, 3).double()
    expected = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(focal_loss(logits, smooth_targets(hard, smoothing), 0.0, ONES), expected)


def test_the_focal_loss_is_what_its_formula_says() -> None:
    logits, targets = _example()
    weights = torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64)
    p = logits.softmax(-1)
    expected = (targets * weights * (1 - p) ** 2.5 * -p.log()).sum(-1).mean()
    torch.testing.assert_close(focal_loss(logits, targets, 2.5, weights), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.5])
def test_its_gradient_is_right(gamma: float) -> None:
    logits, targets = _example()
    weights = torch.tensor([2.0, 0.5, 1.0], dtype=torch.float64)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda values: focal_loss(values, targets, gamma, weights), logits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [1e-3, 0.1, 0.5, 0.99, 1.0, 5.0])
def test_gradients_stay_finite_where_the_model_is_sure(gamma: float, dtype: torch.dtype) -> None:
    for logit in (5.0, 20.0, 50.0, 200.0, 1e4):
        logits = torch.tensor([[logit, 0.0, -logit]], dtype=dtype, requires_grad=True)
        for label in range(3):
            loss = focal_loss(logits, torch.eye(3, dtype=dtype)[[label]], gamma, ONES.to(dtype))
            (gradient,) = torch.autograd.grad(loss, logits)
            assert loss.isfinite()
            assert gradient.isfinite().all()


@given(share=st.floats(0, 1), gamma=st.floats(0, 5))
def test_it_is_linear_in_the_targets(share: float, gamma: float) -> None:
    logits, first = _example()
    second = first.flip(-1)
    mixed = focal_loss(logits, share * first + (1 - share) * second, gamma, ONES)
    parts = share * focal_loss(logits, first, gamma, ONES) + (1 - share) * focal_loss(logits, second, gamma, ONES)
    torch.testing.assert_close(mixed, parts)


def test_more_focus_shifts_the_loss_to_rows_the_model_gets_wrong() -> None:
    logits = torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    targets = torch.eye(3)[[0, 0]]
    ratios = []
    for gamma in (0.0, 1.0, 3.0):
        right, wrong = (focal_loss(logits[[row]], targets[[row]], gamma, torch.ones(3)) for row in (0, 1))
        ratios.append(wrong / right)
    assert ratios[0] < ratios[1] < ratios[2]


def _parts(batch: int = 6) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "direction": torch.randn(batch, 3, generator=generator),
        "confidence": torch.randn(batch, generator=generator),
        "forecast": torch.randn(batch, generator=generator),
        "targets": torch.eye(3)[torch.arange(batch) % 3],
        "returns": torch.randn(batch, generator=generator),
        "mixed": torch.zeros(batch, dtype=torch.bool),
    }


def _loss(**config: float) -> MultiTaskLoss:
    settings = {"focal_gamma": 0.0, "label_smoothing": 0.0} | config
    return MultiTaskLoss(LossConfig(**settings), torch.tensor([2.0, 1.0, 0.5]))


def test_the_three_losses_are_weighted_and_added() -> None:
    parts = _parts()
    weights = torch.tensor([2.0, 1.0, 0.5])
    direction = focal_loss(parts["direction"], smooth_targets(parts["targets"], 0.1), 2.0, weights)
    right = (parts["direction"].argmax(-1) == parts["targets"].argmax(-1)).float()
    confidence = functional.binary_cross_entropy_with_logits(parts["confidence"], right)
    forecast = functional.huber_loss(parts["forecast"], parts["returns"])
    config = {"focal_gamma": 2.0, "label_smoothing": 0.1}
    loss = _loss(**config, direction_weight=0.7, confidence_weight=0.2, return_weight=0.4)(**parts)
    torch.testing.assert_close(loss, 0.7 * direction + 0.2 * confidence + 0.4 * forecast)


def test_mixed_rows_teach_no_confidence() -> None:
    parts = _parts()
    parts["mixed"][[1, 4]] = True
    parts["confidence"].requires_grad_()
    _loss()(**parts).backward()
    gradient = parts["confidence"].grad
    assert gradient is not None
    assert (gradient == 0).tolist() == [False, True, False, False, True, False]
    # The other rows count as a whole batch.
    kept = {name: value[~parts["mixed"]].detach() for name, value in parts.items()}
    kept["confidence"].requires_grad_()
    _loss()(**kept).backward()
    torch.testing.assert_close(gradient[~parts["mixed"]], kept["confidence"].grad)


def test_a_batch_of_mixed_rows_alone_has_a_finite_loss() -> None:
    parts = _parts()
    parts["mixed"][:] = True
    loss = _loss()(**parts)
    torch.testing.assert_close(loss, _loss(confidence_weight=0.0)(**parts))


def test_confidence_does_not_teach_the_direction() -> None:
    parts = _parts()
    parts["direction"].requires_grad_()
    gradients = []
    for weight in (0.0, 5.0):
        (gradient,) = torch.autograd.grad(_loss(confidence_weight=weight)(**parts), parts["direction"])
        gradients.append(gradient)
    assert torch.equal(*gradients)


def test_losses_switched_off_do_not_reach_their_heads() -> None:
    parts = _parts()
    for name in ("direction", "confidence", "forecast"):
        parts[name].requires_grad_()
    _loss(confidence_weight=0.0, return_weight=0.0)(**parts).backward()
    assert parts["direction"].grad is not None
    assert parts["confidence"].grad is None
    assert parts["forecast"].grad is None


def test_class_weights_travel_with_the_module() -> None:
    assert torch.equal(_loss().state_dict()["weights"], torch.tensor([2.0, 1.0, 0.5]))


def test_the_opposite_direction_costs_more_than_a_neutral_call() -> None:
    sure = torch.eye(3) * 50
    target = torch.eye(3)
    for right in range(3):
        costs = [float(directional_accuracy_loss(sure[[called]], target[[right]])) for called in range(3)]
        assert costs[right] == pytest.approx(0)
        if right != 1:
            assert costs[1] == pytest.approx(1)
            assert costs[2 - right] == pytest.approx(2)


def test_the_directional_loss_is_linear_in_its_targets_and_smooth() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    first, second = (
        torch.eye(3, dtype=torch.float64)[[0, 1, 2, 0, 1]],
        torch.eye(3, dtype=torch.float64)[[2, 2, 1, 0, 0]],
    )
    mixed = directional_accuracy_loss(logits, 0.3 * first + 0.7 * second)
    parts = 0.3 * directional_accuracy_loss(logits, first) + 0.7 * directional_accuracy_loss(logits, second)
    torch.testing.assert_close(mixed, parts)
    assert torch.autograd.gradcheck(lambda z: directional_accuracy_loss(z, first), logits)


def test_the_classes_say_what_the_functions_do() -> None:
    torch.manual_seed(0)
    logits, hard = torch.randn(8, 3), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    targets, weights = torch.eye(3)[hard], torch.tensor([2.0, 1.0, 2.0])
    torch.testing.assert_close(
        LabelSmoothingCrossEntropy(0.2)(logits, targets),
        torch.nn.functional.cross_entropy(logits, hard, label_smoothing=0.2),
    )
    torch.testing.assert_close(FocalLoss(1.5, weights)(logits, targets), focal_loss(logits, targets, 1.5, weights))
    torch.testing.assert_close(FocalLoss(0.0)(logits, targets), torch.nn.functional.cross_entropy(logits, hard))
    torch.testing.assert_close(DirectionalAccuracyLoss()(logits, targets), directional_accuracy_loss(logits, targets))


def test_class_weights_weigh_rows_by_their_true_class() -> None:
    logits, _ = _example(9)
    hard = torch.arange(9) % 3
    targets, weights = functional.one_hot(hard, 3).double(), torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    for weighted, plain in (
        (LabelSmoothingCrossEntropy(0.0, weights), LabelSmoothingCrossEntropy(0.0)),
        (DirectionalAccuracyLoss(weights=weights), DirectionalAccuracyLoss()),
        (FocalLoss(1.5, weights), FocalLoss(1.5)),
    ):
        rows = torch.stack([plain(logits[[row]], targets[[row]]) for row in range(9)])
        torch.testing.assert_close(weighted(logits, targets), (weights[hard] * rows).mean())


def test_smoothed_cross_entropy_with_weights_is_the_focal_loss_without_focus() -> None:
    logits, targets = _example()
    weights = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    expected = focal_loss(logits, smooth_targets(targets, 0.2), 0.0, weights)
    torch.testing.assert_close(LabelSmoothingCrossEntropy(0.2, weights)(logits, targets), expected)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LossConfig(kind="focal", focal_gamma=1.5), FocalLoss(1.5, WEIGHTS)),
        (LossConfig(kind="label_smoothing", label_smoothing=0.3), LabelSmoothingCrossEntropy(0.3, WEIGHTS)),
        (LossConfig(kind="directional_accuracy"), DirectionalAccuracyLoss(weights=WEIGHTS)),
    ],
    ids=lambda value: value.kind if isinstance(value, LossConfig) else "",
)
def test_a_recipe_can_name_a_loss_of_the_direction_head_alone(config: LossConfig, expected: torch.nn.Module) -> None:
    parts = _parts()
    for name in ("direction", "confidence", "forecast"):
        parts[name].requires_grad_()
    loss = make_loss(config, WEIGHTS)(**parts)
    torch.testing.assert_close(loss, expected(parts["direction"], parts["targets"]))
    loss.backward()
    assert parts["direction"].grad is not None
    assert parts["direction"].grad.abs().sum() > 0
    assert parts["confidence"].grad is None
    assert parts["forecast"].grad is None


def test_a_recipe_that_names_no_loss_has_the_sum_of_all() -> None:
    parts = _parts()
    config = LossConfig(opposite_weight=0.3)
    torch.testing.assert_close(make_loss(config, WEIGHTS)(**parts), MultiTaskLoss(config, WEIGHTS)(**parts))
