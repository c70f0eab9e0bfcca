from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from core.config import ModelConfig, ModelSize
from core.models.build import build_model
from core.models.network import Network, count_parameters
from tests.helpers.networks import CPU, build_network


def _windows(batch: int = 4, window: int = 16) -> Tensor:
    return torch.randn(batch, window, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("size", "minimum", "maximum"), [("quick", 0.05e6, 0.15e6), ("small", 0.7e6, 1.3e6), ("large", 3e6, 5e6)]
)
def test_each_size_has_the_parameters_it_promises(size: ModelSize, minimum: float, maximum: float) -> None:
    model = build_model(ModelConfig(size=size), 16, 60, 0, CPU)
    assert minimum < count_parameters(model) < maximum


# Halving the steps must work for lengths that two does not divide.
@pytest.mark.parametrize("window", [2, 3, 5, 16, 17, 61])
def test_any_window_gives_one_prediction_a_sample(window: int) -> None:
    direction, confidence, forecast = build_network(window)(_windows(4, window))
    assert direction.shape == (4, 3)
    assert confidence.shape == forecast.shape == (4,)


@pytest.mark.parametrize("read", [2, 16, 40])
def test_a_window_of_another_length_than_it_was_built_for_can_be_read(read: int) -> None:
    assert build_network(16)(_windows(4, read)).direction.shape == (4, 3)


def test_a_single_sample_keeps_its_batch_dimension() -> None:
    direction, confidence, forecast = build_network()(_windows(1))
    assert (direction.shape, confidence.shape, forecast.shape) == ((1, 3), (1,), (1,))


def test_dropout_follows_the_seed_and_evaluation_has_none() -> None:
    windows = _windows()
    first, same = build_network(), build_network()
    output = first(windows).direction
    assert torch.equal(output, same(windows).direction)
    assert not torch.equal(output, first(windows).direction)
    first.eval()
    assert torch.equal(first(windows).direction, first(windows).direction)


def test_dropout_differs_from_seed_to_seed() -> None:
    first, other, windows = build_network(), build_network(seed=1), _windows()
    other.load_state_dict(first.state_dict())
    assert not torch.equal(first(windows).direction, other(windows).direction)


def test_the_forget_gates_start_open() -> None:
    lstm = build_network().lstm
    bias = lstm.bias_ih_l0 + lstm.bias_hh_l0
    assert (bias.chunk(4)[1] == 1).all()


def test_a_prediction_does_not_depend_on_its_neighbours_in_the_batch() -> None:
    model, windows = build_network().eval(), _windows(8)
    for single, batched in zip(model(windows[[3]]), model(windows), strict=True):
        torch.testing.assert_close(single[0], batched[3])


def test_every_bar_and_feature_reaches_every_head() -> None:
    model = build_network(window=17, dropout=0.0).eval()
    for head in ("direction", "confidence", "forecast"):
        windows = _windows(2, 17).requires_grad_()
        (gradient,) = torch.autograd.grad(getattr(model(windows), head).pow(2).sum(), windows)
        assert (gradient != 0).all()


def test_every_parameter_learns() -> None:
    model = build_network()
    direction, confidence, forecast = model(_windows())
    (direction.pow(2).sum() + confidence.sum() + forecast.sum()).backward()
    without_gradient = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without_gradient == []


def _with_path(coefficients: np.ndarray, intercepts: np.ndarray) -> Network:
    model = build_network(last_bar="logistic").eval()
    assert model.last_bar_path is not None
    model.last_bar_path.set_direction(coefficients, intercepts, 0.5, np.array([0.1, 0.0, -0.1]))
    return model


def test_the_network_starts_as_the_linear_model_that_its_path_is_set_to() -> None:
    rng = np.random.default_rng(0)
    coefficients, intercepts, windows = rng.standard_normal((5, 3)), rng.standard_normal(3), _windows()
    direction, _, forecast = _with_path(coefficients, intercepts)(windows)
    expected = windows[:, -1].double().numpy() @ coefficients + intercepts
    np.testing.assert_allclose(direction.detach().numpy(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(forecast, build_network().eval()(windows).forecast)


def test_the_loss_is_computed_on_the_scale_that_the_path_was_set_to() -> None:
    model, without = _with_path(np.ones((5, 3)), np.zeros(3)), build_network().eval()
    prediction = model(_windows())
    scaled = model.for_loss(prediction)
    torch.testing.assert_close(scaled.direction, prediction.direction * 0.5 + torch.tensor([0.1, 0.0, -0.1]))
    assert scaled[1:] == prediction[1:]
    prediction = without(_windows())
    assert without.for_loss(prediction) is prediction


def test_the_path_reads_the_last_bar_alone() -> None:
    model, windows = _with_path(np.ones((5, 3)), np.zeros(3)), _windows().requires_grad_()
    (gradient,) = torch.autograd.grad(model(windows).direction.sum(), windows)
    assert (gradient[:, -1] != 0).all()
    assert not gradient[:, :-1].any()


def test_path_and_network_add_up_and_are_trained_together() -> None:
    model, windows = build_network(last_bar="logistic"), _windows()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):  # the head starts at zero, so the layers before it move from the second step on
        optimizer.zero_grad()
        direction, confidence, forecast = model(windows)
        ((direction - 1).pow(2).sum() + confidence.sum() + (forecast - 1).pow(2).sum()).backward()
        without_gradient = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        optimizer.step()
    assert without_gradient == []


def test_a_network_without_the_path_is_the_one_of_earlier_versions() -> None:
    with_path, without = build_network(last_bar="logistic").state_dict(), build_network().state_dict()
    of_path = {"last_bar.weight", "last_bar.bias", "last_bar.loss_scale", "last_bar.loss_shift"}
    assert set(with_path) - set(without) == of_path
    # The path draws no random number: all else but the head of the direction is initialised alike.
    changed = {name for name in without if not torch.equal(without[name], with_path[name])}
    assert changed == {"direction.weight", "direction.bias"}
