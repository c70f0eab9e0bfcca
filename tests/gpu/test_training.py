"""Tests training on a GPU with core alone: neither Ray nor Optuna needs to be installed there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from core.config import ModelConfig, ModelSize
from core.data import dataset
from core.data.dataset import Dataset
from core.evaluation.history import EpochResult
from core.models import checkpoint
from core.models.build import build_model
from core.models.memory import estimate_memory
from core.training.trainer import Trainer
from tests.helpers.market import market_config, recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]

CUDA = torch.device("cuda")
CONFIG = recipe(epochs=2)


@pytest.fixture(scope="module")
def market() -> Dataset:
    return dataset.load_dataset(market_config())


@pytest.fixture(scope="module")
def on_gpu(market: Dataset) -> tuple[Trainer, list[EpochResult]]:
    trainer = Trainer(CONFIG, market, CUDA)
    return trainer, list(trainer)


@pytest.fixture(scope="module")
def on_cpu(market: Dataset) -> tuple[Trainer, list[EpochResult]]:
    trainer = Trainer(CONFIG, market, torch.device("cpu"))
    return trainer, list(trainer)


def test_everything_lies_on_the_gpu(on_gpu: tuple[Trainer, list[EpochResult]]) -> None:
    trainer, _ = on_gpu
    assert {parameter.device.type for parameter in trainer.model.parameters()} == {"cuda"}
    assert {value.device.type for value in trainer.best_weights.values()} == {"cuda"}


def test_training_runs_in_bfloat16_and_keeps_float32_weights(market: Dataset) -> None:
    trainer = Trainer(CONFIG, market, CUDA)
    outputs: list[torch.dtype] = []
    trainer.model.register_forward_hook(lambda *args: outputs.append(args[-1].direction.dtype))
    trainer._step(trainer._rows.train[:4])
    assert outputs == [torch.bfloat16]
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}


def test_results_are_finite_and_the_loss_falls(on_gpu: tuple[Trainer, list[EpochResult]]) -> None:
    _, results = on_gpu
    assert [result.epoch for result in results] == [1, 2]
    for result in results:
        assert math.isfinite(result.train_loss)
        assert all(math.isfinite(value) for value in result.metrics.values())
    assert results[1].train_loss < results[0].train_loss


# The devices draw other random numbers, so the results are alike, not the same.
def test_the_gpu_learns_what_the_cpu_learns(
    on_gpu: tuple[Trainer, list[EpochResult]], on_cpu: tuple[Trainer, list[EpochResult]]
) -> None:
    for gpu, cpu in zip(on_gpu[1], on_cpu[1], strict=True):
        assert gpu.metrics.keys() == cpu.metrics.keys()
        assert gpu.learning_rate == cpu.learning_rate
        assert gpu.train_loss == pytest.approx(cpu.train_loss, rel=0.2)
    assert on_gpu[1][-1].metrics["direction_auc"] > 0.75
    assert on_gpu[1][-1].metrics["direction_auc"] == pytest.approx(on_cpu[1][-1].metrics["direction_auc"], abs=0.1)


def test_weights_from_the_gpu_predict_the_same_on_the_cpu(
    on_gpu: tuple[Trainer, list[EpochResult]], market: Dataset
) -> None:
    trainer, _ = on_gpu
    rows = torch.from_numpy(market.val[:256])
    model = build_model(CONFIG.model, market.features.shape[1], market.window, 0, torch.device("cpu")).eval()
    model.load_state_dict(trainer.evaluated.state_dict())
    windows = torch.from_numpy(market.features[market.val[:256, None] + np.arange(1 - market.window, 1)])
    with torch.inference_mode():
        expected = model(windows).direction.double().softmax(-1).numpy()
    predicted = softmax(trainer._network_logits(rows.to(CUDA)), axis=1)
    np.testing.assert_allclose(predicted, expected, atol=0.01)  # both in full precision, but for TF32


def test_a_training_resumes_on_the_gpu_from_its_checkpoint(
    on_gpu: tuple[Trainer, list[EpochResult]], market: Dataset, tmp_path: Path
) -> None:
    _, expected = on_gpu
    first = Trainer(CONFIG, market, CUDA)
    first.run_epoch()
    checkpoint.save_checkpoint(tmp_path / "state.pt", first.state_dict())
    second = Trainer(CONFIG, market, CUDA)
    second.load_state_dict(checkpoint.load_checkpoint(tmp_path / "state.pt"))
    (resumed,) = list(second)
    assert resumed.epoch == 2
    assert resumed.learning_rate == expected[1].learning_rate
    # GPU sums are not repeatable to the last bit.
    assert resumed.train_loss == pytest.approx(expected[1].train_loss, rel=0.02)
    assert resumed.value == pytest.approx(expected[1].value, abs=0.03)


def test_training_leaves_the_gpus_own_random_state_alone(market: Dataset) -> None:
    before = torch.cuda.get_rng_state()
    Trainer(recipe(epochs=1), market, CUDA).run_epoch()
    assert torch.equal(torch.cuda.get_rng_state(), before)


def _peak(size: ModelSize, batch: int) -> tuple[int, int]:
    """Return the bytes a training step occupies at its peak on the GPU, and their estimate, without the weights."""
    config = ModelConfig(size=size)
    model = build_model(config, 16, 60, 0, CUDA).train()
    windows = torch.zeros(batch, 60, 16, device=CUDA)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    heads = model(windows)
    (heads.direction.sum() + heads.confidence.sum() + heads.forecast.sum()).backward()
    return torch.cuda.max_memory_allocated() - before, estimate_memory(config, 16, 60, batch).activations


@pytest.mark.parametrize("size", ["quick", "small", "large"])
def test_the_estimate_of_memory_is_what_the_gpu_holds(size: ModelSize) -> None:
    occupied, estimated = _peak(size, 256)
    assert 0.5 < occupied / estimated < 2.0


def test_a_deterministic_training_repeats_to_the_last_bit(market: Dataset) -> None:
    config = CONFIG.with_trainer(deterministic=True, epochs=1)
    first, second = ([r.as_row() | {"seconds": None} for r in Trainer(config, market, CUDA)] for _ in range(2))
    assert first == second
