from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.simulated_market import autocorrelated
from core.evaluation.block_bootstrap import MIN_BLOCKS, Interval, confidence_interval
from search.statistics.bootstrap import resample, resample_seeds, score_draws, simultaneous_intervals
from search.statistics.weighted_metrics import Predictions
from tests.helpers.predictions import BAR, random_predictions


@given(instants=st.integers(5, 300), block=st.integers(1, 14), seed=st.integers(0, 9))
def test_every_draw_is_as_long_as_the_data_and_made_of_blocks(instants: int, block: int, seed: int) -> None:
    resampling = resample(instants, block, np.random.default_rng(seed), draws=20)
    counts = resampling.weights
    assert resampling.blocks == instants / block
    assert counts[0].tolist() == [1.0] * instants
    if instants < MIN_BLOCKS * block:
        assert len(counts) == 1
        return
    assert counts.shape == (21, instants)
    assert (counts.sum(axis=1) == instants).all()
    # A count changes only where a block begins or ends.
    changes = (np.diff(counts[1:], axis=1) != 0).sum(axis=1)
    assert changes.max() <= 2 * -(-instants // block)


def test_on_independent_rows_the_interval_equals_scipys() -> None:
    losses = np.random.default_rng(0).gamma(2.0, size=500)
    model = random_predictions(500, symbols=1, losses=losses)
    weights = resample(500, 1, np.random.default_rng(1), draws=4000).weights
    ours = confidence_interval(score_draws("nll", [model], np.unique(model.instants), weights, np.ones((4001, 1))), 500)
    theirs = stats.bootstrap((-losses,), np.mean, n_resamples=4000, method="percentile", rng=2).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert ours.value == pytest.approx(-losses.mean())


def _coverage(block: int, instants: int, rng: np.random.Generator) -> float:
    """Return how often the interval of the mean of an autocorrelated series covers its true mean, 0."""
    covered = 0
    for _ in range(400):
        series = autocorrelated(instants, rng)
        resampling = resample(instants, block, rng, draws=300)
        draws = resampling.weights @ series / instants
        covered += confidence_interval(draws, resampling.blocks).contains(0.0)
    return covered / 400


@pytest.mark.parametrize("blocks", [MIN_BLOCKS, 60])
def test_on_autocorrelated_rows_the_interval_keeps_its_coverage(blocks: int) -> None:
    rng = np.random.default_rng(0)
    assert _coverage(72, 72 * blocks, rng) == pytest.approx(0.95, abs=0.025)


def test_resampled_row_by_row_the_interval_would_be_far_too_narrow() -> None:
    assert _coverage(1, 1500, np.random.default_rng(0)) < 0.65


def test_simultaneous_intervals_from_few_blocks_are_wider_too() -> None:
    draws = np.concatenate([[0.5], np.random.default_rng(0).normal(0.5, 0.1, 1000)])[None]
    (few,), (many,) = simultaneous_intervals(draws, 20), simultaneous_intervals(draws, 1e6)
    ratio = stats.t.ppf(0.975, 19) / stats.norm.ppf(0.975) * np.sqrt(20 / 19)
    assert few.high - few.low == pytest.approx(ratio * (many.high - many.low), rel=1e-4)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_the_best_of_several_without_skill_is_rarely_above_zero(count: int) -> None:
    rng = np.random.default_rng(0)
    cases, wrong, uncorrected = 600, 0, 0
    for _ in range(cases):
        errors = rng.standard_normal((count, 400))
        weights = rng.multinomial(400, np.full(400, 1 / 400), 300) / 400
        draws = np.concatenate([errors.mean(axis=1)[:, None], errors @ weights.T], axis=1)
        best = int(draws[:, 0].argmax())
        wrong += simultaneous_intervals(draws, 400)[best].low > 0
        uncorrected += confidence_interval(draws[best], 400).low > 0
    assert wrong / cases <= 0.045  # 2.5 % are claimed
    if count == 10:
        assert uncorrected / cases > 0.1


def test_the_best_of_those_that_were_not_dropped_is_rarely_above_zero() -> None:
    rng = np.random.default_rng(0)
    cases, wrong, without_allowance = 600, 0, 0
    for _ in range(cases):
        errors = rng.standard_normal((8, 400))
        kept = errors[np.argsort(errors[:, :200].mean(axis=1))[-2:]]  # chosen on half of the rows
        weights = rng.multinomial(400, np.full(400, 1 / 400), 300) / 400
        draws = np.concatenate([kept.mean(axis=1)[:, None], kept @ weights.T], axis=1)
        best = int(draws[:, 0].argmax())
        wrong += simultaneous_intervals(draws, 400, dropped=6)[best].low > 0
        without_allowance += simultaneous_intervals(draws, 400)[best].low > 0
    assert wrong / cases <= 0.035  # 2.5 % are claimed
    assert without_allowance / cases > 0.05


def test_the_allowance_for_independent_figures_is_that_of_sidak() -> None:
    draws = np.concatenate([[0.0], np.random.default_rng(0).standard_normal(200_000)])[None]
    (interval,) = simultaneous_intervals(draws, 1e9, dropped=7)
    assert interval.high == pytest.approx(stats.norm.ppf((1 + 0.95 ** (1 / 8)) / 2), abs=0.02)


def test_simultaneous_intervals_need_draws_that_are_defined() -> None:
    assert np.isnan(simultaneous_intervals(np.array([[0.5], [0.4]]), 5)[0].low)
    assert np.isnan(simultaneous_intervals(np.array([[0.5, 0.4], [0.4, np.nan]]), 30)[0].low)
    assert simultaneous_intervals(np.zeros((1, 9)), 30) == [Interval(0.0, 0.0, 0.0)]


def test_seeds_are_drawn_too() -> None:
    rng = np.random.default_rng(0)
    seed_weights = resample_seeds(3, rng, draws=500)
    assert seed_weights[0].tolist() == [1 / 3] * 3
    assert seed_weights.sum(axis=1) == pytest.approx(1.0)
    assert seed_weights[1:].std(axis=0) == pytest.approx(np.sqrt(3 * 1 / 3 * 2 / 3) / 3, rel=0.1)
    # Seeds that differ widely make the interval wide, though the rows are the same.
    same = [random_predictions(200, symbols=1, losses=np.full(200, 1.0)) for _ in range(3)]
    different = [random_predictions(200, symbols=1, losses=np.full(200, level)) for level in (0.5, 1.0, 1.5)]
    weights, instants = resample(200, 10, rng, draws=500).weights, np.unique(same[0].instants)
    narrow, wide = (
        confidence_interval(score_draws("nll", by_seed, instants, weights, seed_weights), 1e6)
        for by_seed in (same, different)
    )
    assert (narrow.low, narrow.high) == (-1.0, -1.0)
    assert (wide.low, wide.high) == pytest.approx((-1.5, -0.5), abs=0.2)


def test_all_symbols_of_an_instant_are_drawn_together() -> None:
    model = Predictions(np.array([0, BAR, 0, BAR]), np.array([0, 1, 2, 1]), np.eye(3)[[0, 1, 2, 1]])
    assert model.positions(np.array([0, BAR])).tolist() == [0, 1, 0, 1]
