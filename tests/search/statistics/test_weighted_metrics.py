from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    matthews_corrcoef,
    roc_auc_score,
)

from core.config import RankingMetric
from core.evaluation import metrics
from search.statistics.weighted_metrics import Predictions, score, unweighted
from tests.helpers.predictions import BAR, predictions


@pytest.mark.parametrize("metric", ["macro_f1", "mcc", "balanced_accuracy", "auc", "direction_auc"])
@given(seed=st.integers(0, 50), skill=st.floats(-2, 2), coarse=st.booleans())
def test_with_every_weight_1_it_is_the_metric_of_core(
    metric: RankingMetric, seed: int, skill: float, coarse: bool
) -> None:
    made = predictions(60, skill=skill, seed=seed)
    rounded = np.round(made.probabilities, 1) if coarse else made.probabilities  # with ties
    made = Predictions(made.instants, made.labels, rounded, bar=BAR)
    wanted = metrics.evaluate(made.labels, made.probabilities, made.instants, [metric])[metric]
    assert unweighted(metric, made) == pytest.approx(wanted, abs=1e-6)


def test_weights_count_as_scikit_learn_counts_them() -> None:
    made = predictions(80, skill=0.7, seed=3)
    instants = np.unique(made.instants)
    weights = np.random.default_rng(0).integers(0, 4, (5, len(instants))).astype(np.float32)
    called, moves = made.probabilities.argmax(axis=1), made.labels != 1
    found = {name: score(name, made, instants, weights) for name in ("macro_f1", "mcc", "balanced_accuracy")}
    auc = score("direction_auc", made, instants, weights)
    for draw, row in enumerate(weights):
        each = row[made.places(instants)]
        assert found["macro_f1"][draw] == pytest.approx(
            f1_score(made.labels, called, average="macro", sample_weight=each)
        )
        assert found["mcc"][draw] == pytest.approx(matthews_corrcoef(made.labels, called, sample_weight=each))
        assert found["balanced_accuracy"][draw] == pytest.approx(
            balanced_accuracy_score(made.labels, called, sample_weight=each)
        )
        lean = metrics.lean(made.probabilities)[moves]
        wanted = roc_auc_score(made.labels[moves] == 2, lean, sample_weight=each[moves])
        assert auc[draw] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("metric", get_args(RankingMetric))
def test_a_weight_of_2_is_the_row_twice(metric: RankingMetric) -> None:
    rng = np.random.default_rng(1)
    made = predictions(30, symbols=1, seed=2, losses=rng.random(30), gains=rng.normal(size=30))
    instants = np.unique(made.instants)
    weights = np.ones((1, 30), dtype=np.float32)
    weights[0, :10] = 2
    twice = np.concatenate([np.arange(30), np.arange(10)])
    # The copies become instants of their own: only then do they count as bars of their own, too.
    copied = Predictions(
        np.arange(40) * BAR, made.labels[twice], made.probabilities[twice], made.losses[twice], made.gains[twice], BAR
    )
    assert score(metric, made, instants, weights)[0] == pytest.approx(unweighted(metric, copied), abs=1e-6)


def test_nll_is_the_mean_loss_and_less_is_better() -> None:
    losses = np.linspace(0, 1, 20)
    assert unweighted("nll", predictions(20, symbols=1, losses=losses)) == pytest.approx(-0.5)


def test_net_sharpe_is_annualised_from_bars() -> None:
    gains = np.random.default_rng(0).normal(0.1, 1, 400)
    made = predictions(200, symbols=2, gains=gains)
    bars = gains[:200] + gains[200:]  # all symbols of an instant together
    assert unweighted("net_sharpe", made) == pytest.approx(bars.mean() / bars.std() * np.sqrt(365 * 24 * 12))


def test_what_is_not_defined_is_nan_or_worthless() -> None:
    made = Predictions(np.arange(4) * BAR, np.ones(4, dtype=int), np.eye(3)[[1, 1, 1, 1]])
    assert np.isnan(unweighted("direction_auc", made))
    assert np.isnan(unweighted("auc", made))
    assert unweighted("mcc", made) == 0
    assert unweighted("macro_f1", made) == pytest.approx(1 / 3)
