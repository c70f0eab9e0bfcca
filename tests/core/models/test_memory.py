from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from core.config import ModelConfig, ModelSize
from core.models.build import build_model
from core.models.memory import estimate_memory
from core.models.network import count_parameters


def _profiled_peak(size: ModelSize, batch: int) -> int:
    """Return the bytes that forward and backward hold at their peak, as torch's profiler counts them."""
    model = build_model(ModelConfig(size=size), 16, 60, 0, torch.device("cpu")).train()
    windows = torch.zeros(batch, 60, 16)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        heads = model(windows)
        (heads.direction.sum() + heads.confidence.sum() + heads.forecast.sum()).backward()
    occupied = peak = 0
    for event in profiled.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            occupied += event.nbytes()
            peak = max(peak, occupied)
    return peak


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("size", ["quick", "small"])
def test_the_estimate_is_what_the_profiler_sees(size: ModelSize) -> None:
    estimate = estimate_memory(ModelConfig(size=size), 16, 60, 128)
    gradients = estimate.state // 4
    assert _profiled_peak(size, 128) == pytest.approx(estimate.activations + gradients, rel=0.25)


@pytest.mark.parametrize("size", get_args(ModelSize))
def test_activations_grow_with_batch_and_window_and_state_with_neither(size: ModelSize) -> None:
    config = ModelConfig(size=size)
    one, batch, window = (estimate_memory(config, 16, *sizes) for sizes in ((60, 64), (60, 256), (240, 64)))
    # Little is kept per batch, whatever its size.
    assert 3.7 * one.activations < batch.activations <= 4 * one.activations
    assert window.activations == pytest.approx(4 * one.activations, rel=0.1)
    parameters = count_parameters(build_model(config, 16, 60, 0, torch.device("cpu")))
    assert one.state == batch.state == 20 * parameters
    assert one.total == one.state + one.activations
