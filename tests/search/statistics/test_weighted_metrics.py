from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import (
    balanced_accuracy_score,
    f1_score,
    matthews_corrcoef,
    roc_auc_score,
)

from core.config import RankingMetric
from core.evaluation import metrics
from search.statistics.weighted_metrics import Predictions, score, unweighted_score
from tests.helpers.predictions import BAR, most_probable, random_predictions


@pytest.mark.parametrize("metric", ["macro_f1", "mcc", "balanced_accuracy", "auc", "direction_auc"])
@given(seed=st.integers(0, 50), skill=st.floats(-2, 2), coarse=st.booleans())
def test_with_every_weight_1_a_score_is_the_metric_of_core(
    metric: RankingMetric, seed: int, skill: float, coarse: bool
) -> None:
    model = random_predictions(60, skill=skill, seed=seed)
    probabilities = np.round(model.probabilities, 1) if coarse else model.probabilities  # with ties
    model = Predictions(model.instants, model.labels, probabilities, bar=BAR)
    expected = metrics.evaluate(model.labels, probabilities, most_probable(probabilities), [metric])[metric]
    assert unweighted_score(metric, model) == pytest.approx(expected, abs=1e-6)


def test_weights_count_as_in_scikit_learn() -> None:
    model = random_predictions(80, skill=0.7, seed=3)
    instants = np.unique(model.instants)
    weights = np.random.default_rng(0).integers(0, 4, (5, len(instants))).astype(np.float32)
    predicted, moves = model.probabilities.argmax(axis=1), model.labels != 1
    scores = {name: score(name, model, instants, weights) for name in ("macro_f1", "mcc", "balanced_accuracy")}
    auc = score("direction_auc", model, instants, weights)
    for draw, row in enumerate(weights):
        row_weights = row[model.positions(instants)]
        assert scores["macro_f1"][draw] == pytest.approx(
            f1_score(model.labels, predicted, average="macro", sample_weight=row_weights)
        )
        assert scores["mcc"][draw] == pytest.approx(
            matthews_corrcoef(model.labels, predicted, sample_weight=row_weights)
        )
        assert scores["balanced_accuracy"][draw] == pytest.approx(
            balanced_accuracy_score(model.labels, predicted, sample_weight=row_weights)
        )
        lean = metrics.direction_score(model.probabilities)[moves]
        expected = roc_auc_score(model.labels[moves] == 2, lean, sample_weight=row_weights[moves])
        assert auc[draw] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", get_args(RankingMetric))
def test_a_weight_of_2_counts_the_row_twice(metric: RankingMetric) -> None:
    rng = np.random.default_rng(1)
    model = random_predictions(30, symbols=1, seed=2, losses=rng.random(30), gains=rng.normal(size=30))
    instants = np.unique(model.instants)
    weights = np.ones((1, 30), dtype=np.float32)
    weights[0, :10] = 2
    twice = np.concatenate([np.arange(30), np.arange(10)])
    # The copies get instants of their own, so that they count as further bars, too.
    copied = Predictions(
        np.arange(40) * BAR,
        model.labels[twice],
        model.probabilities[twice],
        model.losses[twice],
        model.gains[twice],
        BAR,
    )
    assert score(metric, model, instants, weights)[0] == pytest.approx(unweighted_score(metric, copied), abs=1e-6)


def test_nll_is_the_negative_mean_loss() -> None:
    losses = np.linspace(0, 1, 20)
    assert unweighted_score("nll", random_predictions(20, symbols=1, losses=losses)) == pytest.approx(-0.5)


def test_net_sharpe_is_annualised_from_bars() -> None:
    gains = np.random.default_rng(0).normal(0.1, 1, 400)
    model = random_predictions(200, symbols=2, gains=gains)
    bars = gains[:200] + gains[200:]  # all symbols of an instant together
    assert unweighted_score("net_sharpe", model) == pytest.approx(bars.mean() / bars.std() * np.sqrt(365 * 24 * 12))


def test_an_undefined_score_is_nan_or_that_of_chance() -> None:
    model = Predictions(np.arange(4) * BAR, np.ones(4, dtype=int), np.eye(3)[[1, 1, 1, 1]])
    assert np.isnan(unweighted_score("direction_auc", model))
    assert np.isnan(unweighted_score("auc", model))
    assert unweighted_score("mcc", model) == 0
    assert unweighted_score("macro_f1", model) == pytest.approx(1 / 3)


@pytest.mark.parametrize("metric", ["auc", "direction_auc"])
def test_scores_of_different_folds_are_not_ranked_among_each_other(metric: RankingMetric) -> None:
    first, second = random_predictions(200, skill=1.0, seed=1), random_predictions(200, skill=1.0, seed=2)
    shifted = softmax(np.log(second.probabilities) + np.array([0.0, 0.0, 5.0]), axis=1)  # the same order, other scores
    labels = np.concatenate([first.labels, second.labels])
    probabilities = np.concatenate([first.probabilities, shifted])
    instants = np.concatenate([first.instants, second.instants + 200 * BAR])
    folds = np.repeat([0, 1], 400)
    joined = Predictions(instants, labels, probabilities, bar=BAR, folds=folds)
    each = [unweighted_score(metric, joined.where(folds == fold)) for fold in (0, 1)]
    assert unweighted_score(metric, joined) == pytest.approx(np.mean(each))
    pooled = unweighted_score(metric, Predictions(instants, labels, probabilities, bar=BAR))
    assert abs(pooled - np.mean(each)) > 0.01


def test_a_fold_without_a_pair_is_left_out() -> None:
    model = random_predictions(100, skill=1.0)
    folds = (model.instants >= 50 * BAR).astype(np.int64)
    joined = Predictions(model.instants, model.labels, model.probabilities, bar=BAR, folds=folds)
    instants = np.unique(model.instants)
    only_first = (instants < 50 * BAR).astype(np.float32)[None]
    expected = unweighted_score("direction_auc", joined.where(folds == 0))
    assert score("direction_auc", joined, instants, only_first)[0] == pytest.approx(expected)


def test_given_calls_are_scored_and_not_the_most_probable_classes() -> None:
    model = random_predictions(50)
    assert unweighted_score("macro_f1", model.with_calls(model.labels)) == pytest.approx(1.0)
    assert unweighted_score("direction_auc", model.with_calls(model.labels)) == unweighted_score("direction_auc", model)
