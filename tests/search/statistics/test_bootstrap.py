from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from search.statistics.bootstrap import Interval, block_length, draws_of, interval, resample, resample_seeds
from search.statistics.weighted_metrics import Predictions
from tests.helpers.predictions import BAR, predictions, slow


@given(instants=st.integers(5, 300), block=st.integers(1, 40), seed=st.integers(0, 9))
def test_every_draw_is_as_long_as_the_data_and_made_of_blocks(instants: int, block: int, seed: int) -> None:
    found = resample(instants, block, np.random.default_rng(seed), draws=20)
    assert found[0].tolist() == [1.0] * instants
    if instants < 5 * block:
        assert len(found) == 1
        return
    assert found.shape == (21, instants)
    assert (found.sum(axis=1) == instants).all()
    # Where a count changes, a block begins or ends: there are only so many of them.
    changes = (np.diff(found[1:], axis=1) != 0).sum(axis=1)
    assert changes.max() <= 2 * -(-instants // block)


@pytest.mark.parametrize(("horizon", "minutes", "wanted"), [(3, 5, 72), (1, 15, 24), (12, 5, 96), (3, 60, 24)])
def test_a_block_lasts_eight_horizons_or_six_hours(horizon: int, minutes: int, wanted: int) -> None:
    assert block_length(horizon, minutes * 60_000_000) == wanted


def test_of_independent_rows_the_interval_is_scipys() -> None:
    losses = np.random.default_rng(0).gamma(2.0, size=500)
    made = predictions(500, symbols=1, losses=losses)
    weights = resample(500, 1, np.random.default_rng(1), draws=4000)
    ours = interval(draws_of("nll", [made], np.unique(made.instants), weights, np.ones((4001, 1))))
    theirs = stats.bootstrap((-losses,), np.mean, n_resamples=4000, method="percentile", rng=2).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert ours.value == pytest.approx(-losses.mean())


def test_of_rows_that_remember_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = {1: 0, 72: 0}
    for _ in range(200):
        made = predictions(1500, symbols=1, losses=slow(1500, rng))
        for block in covered:
            weights = resample(1500, block, rng, draws=300)
            covered[block] += interval(
                draws_of("nll", [made], np.unique(made.instants), weights, np.ones((301, 1)))
            ).holds(0.0)
    assert covered[72] / 200 > 0.87
    assert covered[1] / 200 < 0.65  # row by row it would claim far too much


def test_seeds_are_drawn_too() -> None:
    rng = np.random.default_rng(0)
    seeds = resample_seeds(3, rng, draws=500)
    assert seeds[0].tolist() == [1 / 3] * 3
    assert seeds.sum(axis=1) == pytest.approx(1.0)
    assert seeds[1:].std(axis=0) == pytest.approx(np.sqrt(3 * 1 / 3 * 2 / 3) / 3, rel=0.1)
    # Seeds that differ widely make the interval wide, though the rows are the same.
    alike = [predictions(200, symbols=1, losses=np.full(200, 1.0)) for _ in range(3)]
    apart = [predictions(200, symbols=1, losses=np.full(200, level)) for level in (0.5, 1.0, 1.5)]
    weights, instants = resample(200, 10, rng, draws=500), np.unique(alike[0].instants)
    found = [interval(draws_of("nll", each, instants, weights, seeds)) for each in (alike, apart)]
    assert (found[0].low, found[0].high) == (-1.0, -1.0)
    assert (found[1].low, found[1].high) == pytest.approx((-1.5, -0.5), abs=0.2)


def test_without_enough_blocks_or_with_an_undefined_draw_there_is_no_interval() -> None:
    assert np.isnan(interval(np.array([0.5])).low)
    found = interval(np.array([0.5, 0.4, np.nan]))
    assert (found.value, np.isnan(found.low), np.isnan(found.high)) == (0.5, True, True)
    assert not found.holds(0.5)


def test_an_interval_holds_what_lies_in_it() -> None:
    assert Interval(0.5, 0.4, 0.6).holds(0.4)
    assert not Interval(0.5, 0.4, 0.6).holds(0.61)


def test_all_symbols_of_an_instant_are_drawn_together() -> None:
    made = Predictions(np.array([0, BAR, 0, BAR]), np.array([0, 1, 2, 1]), np.eye(3)[[0, 1, 2, 1]])
    assert made.places(np.array([0, BAR])).tolist() == [0, 1, 0, 1]
