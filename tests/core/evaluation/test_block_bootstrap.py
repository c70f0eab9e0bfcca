from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from core.evaluation.block_bootstrap import (
    MIN_BLOCKS,
    Interval,
    confidence_interval,
    draw_blocks,
    minimum_block_length,
)


@pytest.mark.parametrize(
    ("horizon", "minutes", "bars"), [(3, 5, 288), (1, 15, 96), (12, 5, 288), (48, 5, 384), (3, 60, 24), (3, 1440, 24)]
)
def test_a_block_lasts_a_day_or_eight_horizons(horizon: int, minutes: int, bars: int) -> None:
    assert minimum_block_length(horizon, minutes * 60_000_000) == bars


def test_intervals_from_few_blocks_are_wider() -> None:
    draws = np.concatenate([[0.5], np.random.default_rng(0).normal(0.5, 0.1, 1000)])
    few, many = confidence_interval(draws, 20), confidence_interval(draws, 1e6)
    ratio = stats.t.ppf(0.975, 19) / stats.norm.ppf(0.975) * np.sqrt(20 / 19)
    assert few.high - few.low == pytest.approx(ratio * (many.high - many.low), rel=1e-4)
    assert (many.low, many.high) == pytest.approx(tuple(np.quantile(draws[1:], [0.025, 0.975])), rel=1e-4)


def test_without_enough_blocks_or_with_an_undefined_draw_there_are_no_bounds() -> None:
    assert np.isnan(confidence_interval(np.array([0.5]), 3).low)
    undefined = confidence_interval(np.array([0.5, 0.4, np.nan]), 30)
    assert (undefined.value, np.isnan(undefined.low), np.isnan(undefined.high)) == (0.5, True, True)
    assert not undefined.contains(0.5)


def test_an_interval_contains_its_bounds_and_nothing_beyond() -> None:
    assert Interval(0.5, 0.4, 0.6).contains(0.4)
    assert not Interval(0.5, 0.4, 0.6).contains(0.61)


def test_an_interval_moves_with_its_bounds() -> None:
    moved = Interval(0.5, 0.375, 0.75).moved_to(0.25)
    assert moved == Interval(0.25, 0.125, 0.5)


@pytest.mark.parametrize(("instants", "block"), [(20, 1), (205, 10), (210, 10)])
def test_blocks_lie_within_the_data_and_a_draw_is_as_long(instants: int, block: int) -> None:
    starts, lengths = draw_blocks(instants, block, np.random.default_rng(0), draws=500)
    assert starts.shape == (500, len(lengths))
    assert lengths.sum() == instants
    assert (lengths[:-1] == block).all()
    assert starts.min() == 0
    assert starts.max() == instants - block


def test_of_fewer_blocks_than_an_interval_needs_none_are_drawn() -> None:
    assert len(draw_blocks(10 * MIN_BLOCKS - 1, 10, np.random.default_rng(0))[0]) == 0
    assert len(draw_blocks(10 * MIN_BLOCKS, 10, np.random.default_rng(0))[0]) > 0
