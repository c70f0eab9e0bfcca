from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from search.statistics.sharpe import deflated_sharpe, expected_max_sharpe, probabilistic_sharpe, sharpe_ratio


def test_the_worked_example_of_the_paper() -> None:
    """Bailey and López de Prado 2014, "A numerical example": 100 trials, five years of daily returns."""
    benchmark = expected_max_sharpe(0.5 / 250, 100)
    assert benchmark == pytest.approx(0.1132, abs=5e-5)
    probability = probabilistic_sharpe(2.5 / np.sqrt(250), benchmark, 1250, skewness=-3.0, kurt=10.0)
    assert probability == pytest.approx(0.9004, abs=5e-5)


def test_the_same_ratio_is_more_certain_after_fewer_trials() -> None:
    """The same example: with 46 trials the ratio would have been accepted at 95 %."""
    ratio = 2.5 / np.sqrt(250)
    at_46 = probabilistic_sharpe(ratio, expected_max_sharpe(0.5 / 250, 46), 1250, -3.0, 10.0)
    at_88 = probabilistic_sharpe(ratio, expected_max_sharpe(0.5 / 250, 88), 1250, 0.0, 3.0)
    assert at_46 == pytest.approx(0.9505, abs=5e-4)
    assert at_88 == pytest.approx(0.9505, abs=5e-4)


def test_on_normal_returns_the_probability_is_that_of_scipys_t_test() -> None:
    returns = np.random.default_rng(0).normal(0.02, 1.0, 20_000)
    probability = probabilistic_sharpe(sharpe_ratio(returns), 0.0, len(returns), 0.0, 3.0)
    assert probability == pytest.approx(1 - stats.ttest_1samp(returns, 0.0, alternative="greater").pvalue, abs=1e-3)


@pytest.mark.parametrize("trials", [10, 100, 1000])
def test_the_expected_maximum_is_that_of_simulated_trials_without_skill(trials: int) -> None:
    rng = np.random.default_rng(0)
    largest = rng.normal(0, 0.3, (4000, trials)).max(axis=1).mean()
    assert expected_max_sharpe(0.09, trials) == pytest.approx(largest, rel=0.03)


def test_the_best_of_many_trials_without_skill_is_not_taken_for_skill() -> None:
    rng = np.random.default_rng(0)
    false_positives = 0
    for _ in range(200):
        returns = rng.standard_normal((50, 500))
        ratios = np.array([sharpe_ratio(row) for row in returns])
        false_positives += deflated_sharpe(returns[ratios.argmax()], ratios, 50) > 0.95
    assert false_positives <= 10


def test_an_undefined_probability_is_nan() -> None:
    ratios = np.array([0.1, 0.2, 0.3])
    assert np.isnan(deflated_sharpe(np.zeros(10), ratios, 3))
    assert np.isnan(deflated_sharpe(ratios, ratios[:1], 3))
    assert np.isnan(deflated_sharpe(ratios[:1], ratios, 3))
    assert expected_max_sharpe(1.0, 1) == 0.0
    assert (sharpe_ratio(np.ones(4)), sharpe_ratio(np.zeros(0))) == (0.0, 0.0)
