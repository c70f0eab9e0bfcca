"""Tests skill on synthetic markets, where the truth is known: a signal is found, and none is claimed without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.config import DataConfig, SyntheticConfig, Variance
from core.data.dataset import load_dataset
from core.evaluation import baselines, metrics
from core.evaluation.checklist import has_skill
from core.training import run as training
from core.training.trainer import Trainer
from tests.helpers.market import recipe

pytestmark = pytest.mark.costly

RECIPE = recipe(epochs=3, batch_size=128, dropout=0.2)


def test_the_quick_model_recovers_most_of_the_optimum(tmp_path: Path) -> None:
    data = DataConfig(synthetic=SyntheticConfig(bars=20_000, signal=0.6, seed=1))
    dataset = load_dataset(data)
    assert data.synthetic is not None
    result = training.train_model(RECIPE, data, dataset, tmp_path, device="cpu")
    verdicts = {line.name: line.verdict for line in result.checklist if line.kind == "gate"}
    assert verdicts["direction AUC beyond luck"] == "pass"
    # It need not beat every baseline: this signal is linear, and logistic regression is nearly optimal.
    # Test rows have chosen nothing in this training.
    trainer = Trainer(RECIPE, replace(dataset, train=dataset.train[:256]), torch.device("cpu"))
    trainer.model.load_state_dict(result.trained.weights)
    labels = dataset.labels[dataset.test]
    correlation = metrics.matthews_correlation(
        labels, trainer.probabilities(torch.from_numpy(dataset.test)).argmax(axis=1)
    )
    optimum = metrics.matthews_correlation(
        labels, baselines.bayes(dataset, data.synthetic, dataset.test).argmax(axis=1)
    )
    assert 0.25 < optimum < 0.45
    assert 0.8 * optimum <= correlation <= 1.05 * optimum


@pytest.mark.parametrize("variance", ["constant", "garch"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_a_signal_the_gates_refuse(variance: Variance, seed: int, tmp_path: Path) -> None:
    data = DataConfig(synthetic=SyntheticConfig(bars=5000, signal=0.0, variance=variance, seed=seed), window=16)
    result = training.train_model(RECIPE, data, load_dataset(data), tmp_path, device="cpu")
    assert not has_skill(result.checklist)


@pytest.mark.slow
@pytest.mark.parametrize("variance", ["constant", "garch"])
def test_the_gates_are_seldom_fooled(variance: Variance, tmp_path: Path) -> None:
    fooled = []
    for seed in range(100, 120):
        data = DataConfig(synthetic=SyntheticConfig(bars=5000, signal=0.0, variance=variance, seed=seed), window=16)
        result = training.train_model(RECIPE, data, load_dataset(data), tmp_path, device="cpu")
        if has_skill(result.checklist):
            fooled.append(seed)
    assert len(fooled) <= 1
