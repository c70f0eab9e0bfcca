from __future__ import annotations

import numpy as np
import pytest

from search.statistics.luck import expected_maximum, lead_by_luck


@pytest.mark.parametrize(
    ("count", "mean"), [(1, 0.0), (2, 1 / np.sqrt(np.pi)), (3, 1.5 / np.sqrt(np.pi)), (10, 1.53875), (100, 2.50759)]
)
def test_the_largest_of_normal_numbers_has_its_known_mean(count: int, mean: float) -> None:
    assert expected_maximum(count) == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize("trials", [2, 12, 60])
def test_equally_good_trials_lead_by_luck_as_much_as_is_said(trials: int) -> None:
    rng = np.random.default_rng(0)
    measured, told = [], []
    for _ in range(400):
        # What time does to all trials alike is much larger than what luck does to one of them.
        scores = rng.standard_normal((1, 10)) + 0.1 * rng.standard_normal((trials, 10))
        means = scores.mean(axis=1)
        measured.append(means.max() - means.mean())
        told.append(lead_by_luck(scores))
    assert np.mean(told) == pytest.approx(np.mean(measured), rel=0.08)


def test_better_trials_do_not_look_like_luck() -> None:
    rng = np.random.default_rng(1)
    noise = 0.1 * rng.standard_normal((20, 10))
    assert lead_by_luck(noise + np.linspace(0, 5, 20)[:, None]) == pytest.approx(lead_by_luck(noise))


def test_blocks_without_a_score_are_left_out_and_too_few_give_none() -> None:
    scores = np.random.default_rng(2).standard_normal((5, 6))
    holes = np.column_stack([scores, np.full(5, np.nan)])
    assert lead_by_luck(holes) == lead_by_luck(scores)
    assert np.isnan(lead_by_luck(scores[:1]))
    assert np.isnan(lead_by_luck(scores[:, :1]))
