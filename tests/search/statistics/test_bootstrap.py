from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from search.statistics.bootstrap import (
    Interval,
    block_length,
    confidence_interval,
    resample,
    resample_seeds,
    score_draws,
)
from search.statistics.weighted_metrics import Predictions
from tests.helpers.predictions import BAR, autocorrelated, random_predictions


@given(instants=st.integers(5, 300), block=st.integers(1, 40), seed=st.integers(0, 9))
def test_every_draw_is_as_long_as_the_data_and_made_of_blocks(instants: int, block: int, seed: int) -> None:
    counts = resample(instants, block, np.random.default_rng(seed), draws=20)
    assert counts[0].tolist() == [1.0] * instants
    if instants < 5 * block:
        assert len(counts) == 1
        return
    assert counts.shape == (21, instants)
    assert (counts.sum(axis=1) == instants).all()
    # A count changes only where a block begins or ends.
    changes = (np.diff(counts[1:], axis=1) != 0).sum(axis=1)
    assert changes.max() <= 2 * -(-instants // block)


@pytest.mark.parametrize(("horizon", "minutes", "bars"), [(3, 5, 72), (1, 15, 24), (12, 5, 96), (3, 60, 24)])
def test_a_block_lasts_eight_horizons_or_six_hours(horizon: int, minutes: int, bars: int) -> None:
    assert block_length(horizon, minutes * 60_000_000) == bars


def test_on_independent_rows_the_interval_equals_scipys() -> None:
    losses = np.random.default_rng(0).gamma(2.0, size=500)
    model = random_predictions(500, symbols=1, losses=losses)
    weights = resample(500, 1, np.random.default_rng(1), draws=4000)
    ours = confidence_interval(score_draws("nll", [model], np.unique(model.instants), weights, np.ones((4001, 1))))
    theirs = stats.bootstrap((-losses,), np.mean, n_resamples=4000, method="percentile", rng=2).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert ours.value == pytest.approx(-losses.mean())


def test_on_autocorrelated_rows_the_interval_keeps_its_coverage() -> None:
    rng = np.random.default_rng(0)
    covered = {1: 0, 72: 0}
    for _ in range(200):
        model = random_predictions(1500, symbols=1, losses=autocorrelated(1500, rng))
        for block in covered:
            weights = resample(1500, block, rng, draws=300)
            draws = score_draws("nll", [model], np.unique(model.instants), weights, np.ones((301, 1)))
            covered[block] += confidence_interval(draws).contains(0.0)
    assert covered[72] / 200 > 0.87
    assert covered[1] / 200 < 0.65  # resampled row by row it would be far too narrow


def test_seeds_are_drawn_too() -> None:
    rng = np.random.default_rng(0)
    seed_weights = resample_seeds(3, rng, draws=500)
    assert seed_weights[0].tolist() == [1 / 3] * 3
    assert seed_weights.sum(axis=1) == pytest.approx(1.0)
    assert seed_weights[1:].std(axis=0) == pytest.approx(np.sqrt(3 * 1 / 3 * 2 / 3) / 3, rel=0.1)
    # Seeds that differ widely make the interval wide, though the rows are the same.
    same = [random_predictions(200, symbols=1, losses=np.full(200, 1.0)) for _ in range(3)]
    different = [random_predictions(200, symbols=1, losses=np.full(200, level)) for level in (0.5, 1.0, 1.5)]
    weights, instants = resample(200, 10, rng, draws=500), np.unique(same[0].instants)
    narrow, wide = (
        confidence_interval(score_draws("nll", by_seed, instants, weights, seed_weights))
        for by_seed in (same, different)
    )
    assert (narrow.low, narrow.high) == (-1.0, -1.0)
    assert (wide.low, wide.high) == pytest.approx((-1.5, -0.5), abs=0.2)


def test_without_enough_blocks_or_with_an_undefined_draw_there_are_no_bounds() -> None:
    assert np.isnan(confidence_interval(np.array([0.5])).low)
    undefined = confidence_interval(np.array([0.5, 0.4, np.nan]))
    assert (undefined.value, np.isnan(undefined.low), np.isnan(undefined.high)) == (0.5, True, True)
    assert not undefined.contains(0.5)


def test_an_interval_contains_its_bounds_and_nothing_beyond() -> None:
    assert Interval(0.5, 0.4, 0.6).contains(0.4)
    assert not Interval(0.5, 0.4, 0.6).contains(0.61)


def test_all_symbols_of_an_instant_are_drawn_together() -> None:
    model = Predictions(np.array([0, BAR, 0, BAR]), np.array([0, 1, 2, 1]), np.eye(3)[[0, 1, 2, 1]])
    assert model.positions(np.array([0, BAR])).tolist() == [0, 1, 0, 1]
