from __future__ import annotations

import numpy as np
import pytest

from search.statistics.overfitting import halvings, overfitting_probability, probability
from tests.helpers.predictions import predictions


def test_every_half_of_the_blocks_is_taken_once() -> None:
    found = halvings(100)
    assert found.shape == (252, 100)  # 10 over 5
    assert (found.sum(axis=1) == 50).all()
    assert len(np.unique(found, axis=0)) == 252
    assert {tuple(row) for row in ~found} == {tuple(row) for row in found}  # symmetric


def test_a_case_that_can_be_counted_by_hand() -> None:
    here = np.array([[0.9, 0.1, 0.2], [0.1, 0.9, 0.2], [0.3, 0.1, 0.9], [0.9, 0.3, 0.1]])
    there = np.array([[0.9, 0.1, 0.2], [0.3, 0.1, 0.2], [0.3, 0.9, 0.5], [0.1, 0.2, 0.3]])
    # Ranks of the best on the other half: 3, 1, 2, 1 of 3; logits of rank/4: +, -, 0, -.
    assert probability(here, there) == 3 / 4


def test_where_choosing_means_nothing_it_is_half_and_more() -> None:
    found = [
        overfitting_probability("macro_f1", [predictions(300, seed=1000 * case + seed) for seed in range(12)])
        for case in range(12)
    ]
    assert 0.35 < np.mean(found) < 0.75


def test_where_one_is_better_by_far_it_is_nothing() -> None:
    trials = [predictions(300, skill=2.0 if seed == 4 else 0.0, seed=seed) for seed in range(12)]
    assert overfitting_probability("macro_f1", trials) == 0.0


def test_of_few_trials_nothing_is_said() -> None:
    assert np.isnan(overfitting_probability("macro_f1", [predictions(50, seed=seed) for seed in range(9)]))


@pytest.mark.parametrize("metric", ["direction_auc", "mcc"])
def test_it_ranks_by_the_campaigns_metric(metric: str) -> None:
    trials = [predictions(200, skill=0.3 * seed, seed=seed) for seed in range(10)]
    assert overfitting_probability(metric, trials) < 0.2  # type: ignore[arg-type]
