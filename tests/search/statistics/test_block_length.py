from __future__ import annotations

import numpy as np
import pytest

from benchmarks.simulated_market import BAR, DAY, slow
from search.statistics.block_length import BlockLengthSelector
from search.statistics.weighted_metrics import Predictions
from tests.helpers.predictions import random_predictions

STRETCH = DAY // 4
"""Bars of the stretches of six hours whose influence is measured."""


def _losses(losses: np.ndarray) -> Predictions:
    count = len(losses)
    labels, probabilities = np.zeros(count, dtype=np.int64), np.tile([0.25, 0.5, 0.25], (count, 1))
    return Predictions(np.arange(count) * BAR, labels, probabilities, losses, bar=BAR)


def _length(losses: np.ndarray) -> int:
    predictions = _losses(losses)
    selector = BlockLengthSelector(predictions.instants, BAR, DAY)
    return selector.block_length([selector.of_metric("nll", [predictions])])


def test_the_influence_on_a_mean_is_the_share_of_each_stretch() -> None:
    losses = np.random.default_rng(0).gamma(2.0, size=10 * DAY)
    predictions = _losses(losses)
    influence = BlockLengthSelector(predictions.instants, BAR, DAY).of_metric("nll", [predictions])
    total, means = losses.mean(), losses.reshape(-1, STRETCH).mean(axis=1)
    expected = (total - means) / (len(means) - 1)
    assert influence == pytest.approx(expected, abs=1e-6)


def test_the_influence_on_a_mean_over_seeds_is_the_mean_influence() -> None:
    seeds = [random_predictions(4 * DAY, symbols=1, seed=seed) for seed in range(2)]
    selector = BlockLengthSelector(np.unique(seeds[0].instants), seeds[0].bar, DAY)
    each = [selector.of_metric("macro_f1", [predictions]) for predictions in seeds]
    assert selector.of_metric("macro_f1", seeds) == pytest.approx(np.mean(each, axis=0))


def test_without_memory_a_block_is_as_short_as_allowed() -> None:
    rng = np.random.default_rng(0)
    assert [_length(rng.gamma(2.0, size=60 * DAY)) for _ in range(5)] == [DAY] * 5


def test_memory_of_days_asks_for_blocks_of_days() -> None:
    rng = np.random.default_rng(0)
    lengths = [_length(3 + slow(100 * DAY, rng, days=1.5)) for _ in range(8)]
    assert np.median(lengths) > 4 * DAY


def test_the_longest_block_that_a_figure_needs_is_taken() -> None:
    rng = np.random.default_rng(0)
    quiet, lasting = _losses(rng.gamma(2.0, size=100 * DAY)), _losses(3 + slow(100 * DAY, rng, days=1.5))
    selector = BlockLengthSelector(quiet.instants, BAR, DAY)
    influences = [selector.of_metric("nll", [predictions]) for predictions in (quiet, lasting)]
    assert selector.block_length(influences) == selector.block_length(influences[1:])
    assert selector.block_length(influences) > selector.block_length(influences[:1]) == DAY


@pytest.mark.parametrize("losses", [np.ones(60 * DAY), np.ones(DAY), np.array([1.0])])
def test_where_nothing_can_be_estimated_a_block_is_as_short_as_allowed(losses: np.ndarray) -> None:
    assert _length(losses) == DAY


def test_an_undefined_metric_asks_for_the_shortest_block() -> None:
    predictions = _losses(np.ones(60 * DAY))
    selector = BlockLengthSelector(predictions.instants, BAR, DAY)
    assert selector.block_length([selector.of_metric("direction_auc", [predictions])]) == DAY
