from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.labels import BUY, HOLD, NO_LABEL, SELL, by_thresholds, forward_returns, quantile_thresholds


def test_an_example_by_hand() -> None:
    close = np.array([100.0, 110.0, 121.0, 110.0, 100.0])
    returns = forward_returns(close, 2)
    step = np.log(1.1)
    np.testing.assert_allclose(returns[:3], [2 * step, 0.0, -2 * step], atol=1e-12)
    assert np.isnan(returns[3:]).all()
    assert by_thresholds(returns, -0.1, 0.1).tolist() == [BUY, HOLD, SELL, NO_LABEL, NO_LABEL]


def test_a_return_on_a_threshold_is_hold() -> None:
    assert by_thresholds(np.array([-0.1, 0.1]), -0.1, 0.1).tolist() == [HOLD, HOLD]


@pytest.mark.parametrize("length", [1, 3, 4])
def test_a_segment_no_longer_than_the_horizon_has_no_label(length: int) -> None:
    returns = forward_returns(np.full(length, 2.0), 3)
    assert np.isnan(returns).sum() == min(length, 3)
    assert (by_thresholds(returns, -1, 1) == NO_LABEL).sum() == min(length, 3)


@given(
    horizon=st.integers(1, 10),
    t=st.integers(0, 30),
    close=st.lists(st.floats(1, 1000), min_size=41, max_size=41),
    factor=st.floats(0.5, 2),
)
def test_a_return_depends_only_on_its_own_bar_and_the_bar_at_the_horizon(
    horizon: int, t: int, close: list[float], factor: float
) -> None:
    prices = np.array(close)
    changed = prices * factor
    changed[[t, t + horizon]] = prices[[t, t + horizon]]
    assert forward_returns(changed, horizon)[t] == forward_returns(prices, horizon)[t]


def test_quantile_labels_have_the_configured_shares_on_train() -> None:
    returns = np.random.default_rng(0).standard_t(3, 10_000)
    labels = by_thresholds(returns, *quantile_thresholds(returns, (0.25, 0.75)))
    assert np.bincount(labels).tolist() == [2500, 5000, 2500]
    labels = by_thresholds(returns, *quantile_thresholds(returns, (0.1, 0.6)))
    assert np.bincount(labels).tolist() == [1000, 5000, 4000]
