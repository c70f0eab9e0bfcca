from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.features import rolling
from core.data.features.rolling import MIN_MOVE
from tests.helpers.market import JUMP

spans = st.integers(1, 100)


def _windows(values: np.ndarray, span: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(values, span)


@given(span=spans, seed=st.integers(0, 1000))
def test_statistics_are_those_of_their_windows(span: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(160)
    np.testing.assert_allclose(rolling.mean(x, span)[span - 1 :], _windows(x, span).mean(axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        rolling.deviation(x, span)[span - 1 :], _windows(x, span).std(axis=1), rtol=1e-9, atol=1e-12
    )


@given(span=st.integers(3, 100), seed=st.integers(0, 1000))
def test_correlation_is_that_of_the_window(span: int, seed: int) -> None:
    x, noise = np.random.default_rng(seed).standard_normal((2, 120))
    y = 1e9 + x + noise
    values = rolling.correlation(x, y, span, 0.0, 0.0)
    for t in (span - 1, 119):
        window = slice(t - span + 1, t + 1)
        assert values[t] == pytest.approx(np.corrcoef(x[window], y[window])[0, 1], abs=1e-6)


@pytest.mark.parametrize("value", [0.1, 60_000.1, 1e-6, 1e12 / 3])
@pytest.mark.parametrize("span", [2, 7, 20, 48, 96])
def test_equal_values_have_no_deviation_and_no_correlation(value: float, span: int) -> None:
    flat, rising = np.full(120, value), np.arange(120.0)
    assert not rolling.deviation(flat, span).any()
    assert not rolling.correlation(flat, rising, span, 0.0, 0.0).any()


@given(span=spans, start=st.integers(0, 100))
def test_an_outlier_that_has_left_the_window_leaves_nothing_behind(span: int, start: int) -> None:
    x = np.random.default_rng(0).standard_normal(300)
    with_outliers = x.copy()
    with_outliers[:start] = 1e15
    for statistic in (rolling.mean, rolling.deviation):
        late = statistic(with_outliers, span)[start + span :]
        assert np.array_equal(late, statistic(x, span)[start + span :])
        assert np.array_equal(late, statistic(x[start:], span)[span:])


def test_a_quotient_without_a_positive_denominator_is_the_value_given() -> None:
    numerator, denominator = np.array([1.0, 0.0, 3.0]), np.array([2.0, 0.0, 0.0])
    assert rolling.quotient(numerator, denominator).tolist() == [0.5, 0.0, 0.0]
    assert rolling.quotient(numerator, denominator, otherwise=1.0).tolist() == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("period", [2, 7, 14])
def test_an_exponential_mean_forgets_a_jump_within_the_rows_of_forgetting(period: int) -> None:
    weight = (1 - 1 / period) ** rolling.forgetting(period)
    assert weight * JUMP / MIN_MOVE < 1e-7
