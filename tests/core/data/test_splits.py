"""The borders of train, val and test."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import DataConfig
from core.data.splits import Span, main_borders
from tests.helpers.market import market_config


@pytest.mark.parametrize(
    ("window", "horizon", "embargo"), [(16, 3, 100), (300, 3, 299), (16, 250, 250)], ids=["share", "window", "horizon"]
)
def test_the_embargo_is_the_longest_of_horizon_window_and_share(window: int, horizon: int, embargo: int) -> None:
    config = market_config().model_copy(update={"window": window, "horizon": horizon})
    borders = main_borders(Span(0, 10_000, 1), config)
    assert borders.train == (0, 7000)
    assert borders.val == (7000 + embargo, 8500)
    assert borders.test == (8500 + embargo, 10_000)


@given(
    bars=st.integers(100, 100_000),
    val=st.floats(0.05, 0.4),
    test=st.floats(0.05, 0.4),
    window=st.integers(2, 500),
    horizon=st.integers(1, 500),
)
def test_splits_lie_on_the_grid_and_no_window_reaches_into_the_split_before(
    bars: int, val: float, test: float, window: int, horizon: int
) -> None:
    bar, start = 300, 7_000_000 * 300
    config = DataConfig(symbols=("A",), window=window, horizon=horizon, val_fraction=val, test_fraction=test)
    borders = main_borders(Span(start, start + bars * bar, bar), config)
    assert borders.train[0] == start
    assert borders.test[1] == start + bars * bar
    assert borders.train[1] - start == pytest.approx(bars * (1 - val - test) * bar, abs=bar)
    for before, after in ((borders.train, borders.val), (borders.val, borders.test)):
        assert after[0] - before[1] >= max(horizon, window - 1, 0.01 * bars) * bar
        assert (before[1] - start) % bar == (after[0] - start) % bar == 0
