from __future__ import annotations

import numpy as np
import pytest

from search.statistics.overfitting import overfitting_probability, share_below_median, symmetric_splits
from tests.helpers.predictions import random_predictions


def test_every_half_of_the_blocks_is_taken_once() -> None:
    splits = symmetric_splits(100)
    assert splits.shape == (252, 100)  # 10 over 5
    assert (splits.sum(axis=1) == 50).all()
    assert len(np.unique(splits, axis=0)) == 252
    assert {tuple(row) for row in ~splits} == {tuple(row) for row in splits}  # symmetric


def test_a_case_that_can_be_counted_by_hand() -> None:
    in_sample = np.array([[0.9, 0.1, 0.2], [0.1, 0.9, 0.2], [0.3, 0.1, 0.9], [0.9, 0.3, 0.1]])
    out_of_sample = np.array([[0.9, 0.1, 0.2], [0.3, 0.1, 0.2], [0.3, 0.9, 0.5], [0.1, 0.2, 0.3]])
    # Ranks of the best on the other half: 3, 1, 2, 1 of 3; logits of rank/4: +, -, 0, -.
    assert share_below_median(in_sample, out_of_sample) == 3 / 4


def test_trials_without_skill_overfit_about_half_of_the_time() -> None:
    shares = [
        overfitting_probability("macro_f1", [random_predictions(300, seed=1000 * case + seed) for seed in range(12)])
        for case in range(12)
    ]
    assert 0.35 < np.mean(shares) < 0.75


def test_a_trial_that_is_better_by_far_is_never_overfitting() -> None:
    trials = [random_predictions(300, skill=2.0 if seed == 4 else 0.0, seed=seed) for seed in range(12)]
    assert overfitting_probability("macro_f1", trials) == 0.0


def test_few_trials_give_no_probability() -> None:
    assert np.isnan(overfitting_probability("macro_f1", [random_predictions(50, seed=seed) for seed in range(9)]))


@pytest.mark.parametrize("metric", ["direction_auc", "mcc"])
def test_trials_are_ranked_by_the_campaigns_metric(metric: str) -> None:
    trials = [random_predictions(200, skill=0.3 * seed, seed=seed) for seed in range(10)]
    assert overfitting_probability(metric, trials) < 0.2  # type: ignore[arg-type]
