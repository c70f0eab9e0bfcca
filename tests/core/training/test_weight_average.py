from __future__ import annotations

import pytest
import torch

from core.training.weight_average import WeightAverage
from tests.helpers.networks import build_network


def _steps(decay: float, count: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the biases of a model after each of its steps, and their average."""
    model = build_network()
    average = WeightAverage(model, decay)
    generator, biases = torch.Generator().manual_seed(0), []
    for _ in range(count):
        with torch.no_grad():
            model.direction.bias.copy_(torch.randn(3, generator=generator))
        biases.append(model.direction.bias.detach().clone())
        average.update_parameters(model)
    return biases, average.module.direction.bias.detach()


def test_the_average_keeps_its_share_and_reaches_back_further_with_each_step() -> None:
    biases, average = _steps(0.9, 200)
    expected = biases[0]
    for step, bias in enumerate(biases[1:], start=1):
        kept = min(0.9, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * bias
    torch.testing.assert_close(average, expected)


def test_the_first_step_is_its_own_average() -> None:
    biases, average = _steps(0.99, 1)
    assert torch.equal(average, biases[0])


def test_the_average_is_less_noisy_than_the_weights() -> None:
    biases, average = _steps(0.99, 2000)
    assert float(average.abs().max()) < 0.3 < float(torch.stack(biases).abs().max())


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_averaging_changes_no_weight_of_the_model(decay: float) -> None:
    model = build_network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average = WeightAverage(model, decay)
    average.update_parameters(model)
    average.update_parameters(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(before[name], value) for name, value in average.module.state_dict().items())
