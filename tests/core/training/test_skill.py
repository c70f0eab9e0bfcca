"""On made-up markets the truth is known: what there is, is found; where there is nothing, nothing is claimed."""

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

RECIPE = recipe(epochs=3, batch_size=128, dropout=0.2)


def test_the_quick_model_recovers_most_of_what_can_be_known(tmp_path: Path) -> None:
    data = DataConfig(synthetic=SyntheticConfig(bars=20_000, signal=0.6, seed=1))
    dataset = load_dataset(data)
    assert data.synthetic is not None
    outcome = training.train_model(RECIPE, data, dataset, tmp_path, device="cpu")
    verdicts = {line.name: line.verdict for line in outcome.checklist if line.kind == "gate"}
    assert verdicts["direction AUC beyond luck"] == "pass"
    # That it beats every yardstick is not asked for: this signal is linear, and logistic regression nearly the best.
    # Test rows chose nothing here.
    trainer = Trainer(RECIPE, replace(dataset, train=dataset.train[:256]), torch.device("cpu"))
    trainer.model.load_state_dict(outcome.trained.weights)
    labels = dataset.labels[dataset.test]
    reached = metrics.matthews_correlation(labels, trainer.probabilities(torch.from_numpy(dataset.test)).argmax(axis=1))
    best = metrics.matthews_correlation(labels, baselines.bayes(dataset, data.synthetic, dataset.test).argmax(axis=1))
    assert 0.25 < best < 0.45
    assert 0.8 * best <= reached <= 1.05 * best


@pytest.mark.parametrize("variance", ["constant", "garch"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_a_signal_the_gates_refuse(variance: Variance, seed: int, tmp_path: Path) -> None:
    data = DataConfig(synthetic=SyntheticConfig(bars=5000, signal=0.0, variance=variance, seed=seed), window=16)
    outcome = training.train_model(RECIPE, data, load_dataset(data), tmp_path, device="cpu")
    assert not has_skill(outcome.checklist)


@pytest.mark.slow
@pytest.mark.parametrize("variance", ["constant", "garch"])
def test_the_gates_are_seldom_fooled(variance: Variance, tmp_path: Path) -> None:
    fooled = []
    for seed in range(100, 120):
        data = DataConfig(synthetic=SyntheticConfig(bars=5000, signal=0.0, variance=variance, seed=seed), window=16)
        outcome = training.train_model(RECIPE, data, load_dataset(data), tmp_path, device="cpu")
        if has_skill(outcome.checklist):
            fooled.append(seed)
    assert len(fooled) <= 1
