"""Tests skill on synthetic markets, where the truth is known: a signal is found, and none is claimed without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.config import DataConfig, RankingMetric, SyntheticConfig, Variance
from core.data.dataset import Dataset, load_dataset
from core.evaluation import baselines, metrics
from core.evaluation.block_bootstrap import confidence_interval
from core.evaluation.checklist import ChecklistLine, has_skill
from core.training.run import train_model
from core.training.trainer import Trainer
from search.statistics import Predictions, resample
from search.statistics.weighted_metrics import score
from tests.helpers.market import recipe

pytestmark = pytest.mark.costly

RECIPE = recipe(epochs=3, batch_size=128, dropout=0.2)
BLOCK = 72
"""Bars of a block of the bootstrap: the synthetic market remembers far fewer."""


@dataclass(frozen=True)
class LinearMarket:
    """A market with a linear signal, and what a network that was trained on it predicts for its test rows.

    Test rows have chosen nothing in that training.
    """

    data: DataConfig
    dataset: Dataset
    checklist: Sequence[ChecklistLine]
    probabilities: np.ndarray

    def predictions(self, probabilities: np.ndarray) -> Predictions:
        rows = self.dataset.test
        return Predictions(self.dataset.timestamps[rows], self.dataset.labels[rows], probabilities)


@pytest.fixture(scope="module")
def linear_markets(tmp_path_factory: pytest.TempPathFactory) -> list[LinearMarket]:
    markets = []
    for seed in (1, 2, 3):
        data = DataConfig(synthetic=SyntheticConfig(bars=20_000, signal=0.6, seed=seed))
        dataset = load_dataset(data)
        result = train_model(RECIPE, data, dataset, tmp_path_factory.mktemp("linear"), device="cpu")
        trainer = Trainer(RECIPE, replace(dataset, train=dataset.train[:256]), torch.device("cpu"))
        trainer.model.load_state_dict(result.trained.weights)
        probabilities = trainer.probabilities(torch.from_numpy(dataset.test))
        markets.append(LinearMarket(data, dataset, result.checklist, probabilities))
    return markets


def test_the_quick_model_recovers_most_of_the_optimum(linear_markets: list[LinearMarket]) -> None:
    market = linear_markets[0]
    assert market.data.synthetic is not None
    verdicts = {line.name: line.verdict for line in market.checklist if line.kind == "gate"}
    assert verdicts["direction AUC beyond luck"] == "pass"
    # It need not beat every baseline: this signal is linear, and logistic regression is nearly optimal.
    dataset = market.dataset
    labels = dataset.labels[dataset.test]
    correlation = metrics.matthews_correlation(labels, market.probabilities.argmax(axis=1))
    optimum = metrics.matthews_correlation(
        labels, baselines.bayes(dataset, market.data.synthetic, dataset.test).argmax(axis=1)
    )
    assert 0.25 < optimum < 0.45
    assert 0.8 * optimum <= correlation <= 1.05 * optimum


@pytest.mark.parametrize(("metric", "margin"), [("direction_auc", 0.02), ("mcc", 0.04)])
def test_on_a_linear_signal_the_network_is_within_a_margin_of_logistic_regression(
    linear_markets: list[LinearMarket], metric: RankingMetric, margin: float
) -> None:
    """The lead of logistic regression, averaged over three markets, with its paired 95 % interval.

    Measured: direction AUC 0.0067 [0.0017, 0.0119], MCC 0.0104 [-0.0039, 0.0258]. The network does not match it yet,
    and must not fall further behind.
    """
    leads = []
    for market in linear_markets:
        dataset = market.dataset
        instants = np.unique(dataset.timestamps[dataset.test])
        drawn = resample(len(instants), BLOCK, np.random.default_rng(0))
        regression = baselines.BASELINES["logistic regression"](dataset, dataset.test)
        regression_scores, network_scores = (
            score(metric, market.predictions(probabilities), instants, drawn.weights)
            for probabilities in (regression, market.probabilities)
        )
        leads.append(regression_scores - network_scores)
    lead = confidence_interval(np.mean(leads, axis=0), drawn.blocks)
    assert lead.low < lead.value < lead.high < margin


@pytest.mark.parametrize("variance", ["constant", "garch"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_a_signal_the_gates_refuse(variance: Variance, seed: int, tmp_path: Path) -> None:
    data = DataConfig(synthetic=SyntheticConfig(bars=5000, signal=0.0, variance=variance, seed=seed), window=16)
    result = train_model(RECIPE, data, load_dataset(data), tmp_path, device="cpu")
    assert not has_skill(result.checklist)


@pytest.mark.slow
@pytest.mark.parametrize("variance", ["constant", "garch"])
def test_the_gates_are_seldom_fooled(variance: Variance, tmp_path: Path) -> None:
    fooled = []
    for seed in range(100, 120):
        data = DataConfig(synthetic=SyntheticConfig(bars=5000, signal=0.0, variance=variance, seed=seed), window=16)
        result = train_model(RECIPE, data, load_dataset(data), tmp_path, device="cpu")
        if has_skill(result.checklist):
            fooled.append(seed)
    assert len(fooled) <= 1
