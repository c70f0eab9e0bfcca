from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from core.config import TrainingConfig
from core.data.dataset import Dataset
from core.evaluation.history import EpochResult
from core.training.trainer import Trainer
from tests.core.training.conftest import Scripted
from tests.helpers.market import cut, recipe

CPU = torch.device("cpu")


def _run(config: TrainingConfig, dataset: Dataset) -> list[EpochResult]:
    return list(Trainer(config, cut(dataset, 64, 8), CPU))


def _rates(dataset: Dataset, **trainer: Any) -> list[float]:
    return [result.learning_rate for result in _run(recipe(learning_rate=1e-3, **trainer), dataset)]


def test_a_constant_schedule_keeps_the_learning_rate(short: Dataset) -> None:
    assert _rates(short, schedule="constant", epochs=4) == [1e-3] * 4


def test_a_cosine_schedule_falls_to_nothing_over_its_epochs(short: Dataset) -> None:
    expected = [1e-3 * (1 + math.cos(math.pi * epoch / 12)) / 2 for epoch in range(12)]
    rates = _rates(short, schedule="cosine", epochs=12)
    assert rates == pytest.approx(expected)
    assert rates[-1] < 2e-5


def test_warm_restarts_come_after_10_and_30_epochs(short: Dataset) -> None:
    rates = _rates(short, schedule="warm_restarts", epochs=31)
    assert [epoch for epoch, rate in enumerate(rates) if rate == 1e-3] == [0, 10, 30]
    assert rates[9] < 5e-5
    assert rates[29] < 1e-5


def test_a_plateau_halves_the_learning_rate(short: Dataset, scripted: Scripted) -> None:
    scripted([0.5, 0.6, *[0.55] * 8])
    assert _rates(short, schedule="plateau", epochs=10) == [1e-3] * 8 + [5e-4] * 2


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("rise", "halvings"), [(0.0, 2), (5e-6, 2), (3e-4, 0)])
def test_a_plateau_is_one_whatever_the_sign_of_the_score(
    short: Dataset, scripted: Scripted, sign: int, rise: float, halvings: int
) -> None:
    scripted([sign * 0.9 + rise * epoch for epoch in range(14)])
    assert _rates(short, schedule="plateau", epochs=14)[-1] == 1e-3 / 2**halvings


def test_the_learning_rate_rises_over_the_first_steps(dataset: Dataset) -> None:
    trainer = Trainer(recipe(warmup_steps=8, batch_size=32), cut(dataset, train=160), torch.device("cpu"))
    rates: list[float] = []
    trainer._optimizer.register_step_pre_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    trainer.run_epoch()
    trainer.run_epoch()
    np.testing.assert_allclose(rates, 1e-3 * np.minimum(np.arange(1, 11) / 8, 1))


def test_weight_decay_spares_biases_and_norms(short: Dataset) -> None:
    trainer = Trainer(recipe(weight_decay=0.3), short, CPU)
    decayed, spared = trainer._optimizer.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    assert {p.ndim >= 2 for p in decayed["params"]} == {True}
    assert {p.ndim >= 2 for p in spared["params"]} == {False}
    assert len(decayed["params"]) + len(spared["params"]) == len(list(trainer.model.parameters()))


def test_gradients_are_clipped_to_the_given_norm(short: Dataset) -> None:
    trainer = Trainer(recipe(clip_norm=1e-3), short, CPU)
    trainer.run_epoch()
    norm = torch.stack([p.grad.norm() for p in trainer.model.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)
