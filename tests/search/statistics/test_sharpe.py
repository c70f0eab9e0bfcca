from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from search.statistics.sharpe import CERTAIN_SHARPE, probabilistic_sharpe, probabilistic_sharpe_of, sharpe_ratio


def test_the_worked_example_of_the_paper() -> None:
    """Bailey and López de Prado 2014, "A numerical example": five years of daily returns against a benchmark."""
    best_of_100 = (1 - np.euler_gamma) * stats.norm.ppf(1 - 1 / 100) + np.euler_gamma * stats.norm.ppf(
        1 - 1 / 100 / np.e
    )
    probability = probabilistic_sharpe(2.5 / np.sqrt(250), np.sqrt(0.5 / 250) * best_of_100, 1250, -3.0, 10.0)
    assert probability == pytest.approx(0.9004, abs=5e-5)


def test_on_normal_returns_the_probability_is_that_of_scipys_t_test() -> None:
    returns = np.random.default_rng(0).normal(0.02, 1.0, 20_000)
    expected = 1 - stats.ttest_1samp(returns, 0.0, alternative="greater").pvalue
    assert probabilistic_sharpe_of(returns) == pytest.approx(expected, abs=1e-3)


def test_luck_is_tradable_once_in_twenty_times_and_skill_nearly_always() -> None:
    rng = np.random.default_rng(0)
    luck = [probabilistic_sharpe_of(rng.standard_normal(500)) > CERTAIN_SHARPE for _ in range(1000)]
    skill = [probabilistic_sharpe_of(rng.normal(0.1, 1, 1000)) > CERTAIN_SHARPE for _ in range(200)]
    assert np.mean(luck) == pytest.approx(0.05, abs=0.02)
    assert np.mean(skill) > 0.85


def test_an_undefined_probability_is_nan() -> None:
    assert np.isnan(probabilistic_sharpe_of(np.zeros(10)))
    assert np.isnan(probabilistic_sharpe_of(np.array([0.1])))
    assert (sharpe_ratio(np.ones(4)), sharpe_ratio(np.zeros(0))) == (0.0, 0.0)
