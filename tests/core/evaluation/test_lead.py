from __future__ import annotations

import numpy as np
import pytest

from core.evaluation.block_bootstrap import MIN_BLOCKS, confidence_interval
from core.evaluation.lead import macro_f1_lead, mean_lead
from search.statistics.bootstrap import resample
from search.statistics.weighted_metrics import Predictions, score

BLOCK = 24
ROWS = 40 * BLOCK


def _labels(rng: np.random.Generator, rows: int = ROWS) -> np.ndarray:
    return rng.integers(0, 3, rows)


def _calls(labels: np.ndarray, skill: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return calls of which a share `skill` is right for sure, and the others are guessed."""
    return np.where(rng.random(len(labels)) < skill, labels, rng.integers(0, 3, len(labels)))


def test_the_lead_and_its_interval_are_those_of_the_verdicts_draws() -> None:
    rng = np.random.default_rng(0)
    timestamps = np.tile(np.arange(ROWS) * 300, 2)  # two symbols
    labels = _labels(rng, 2 * ROWS)
    model = _calls(labels, 0.3, rng)
    others = {name: _calls(labels, skill, rng) for name, skill in (("weak", 0.1), ("near", 0.24), ("best", 0.25))}
    measured = macro_f1_lead(labels, model, others, timestamps, 48, np.random.default_rng(1), draws=300)

    drawn = resample(ROWS, 48, np.random.default_rng(1), draws=300)
    instants = np.unique(timestamps)

    def draws(calls: np.ndarray) -> np.ndarray:
        return score("macro_f1", Predictions(timestamps, labels, np.eye(3)[calls]), instants, drawn.weights)

    expected = confidence_interval(draws(model) - np.max([draws(c) for c in others.values()], axis=0), drawn.blocks)
    assert measured.as_row() == pytest.approx(expected.as_row(), abs=1e-6)
    assert measured.low < measured.value < measured.high


def test_a_lead_of_one_row_is_no_lead() -> None:
    rng = np.random.default_rng(0)
    labels = _labels(rng)
    baseline = _calls(labels, 0.2, rng)
    model = baseline.copy()
    wrong = int(np.flatnonzero(model != labels)[0])
    model[wrong] = labels[wrong]
    lead = macro_f1_lead(labels, model, {"baseline": baseline}, np.arange(ROWS), BLOCK, rng)
    assert lead.value > 0 >= lead.low


def test_a_large_lead_is_one() -> None:
    rng = np.random.default_rng(0)
    labels = _labels(rng)
    calls, baseline = _calls(labels, 0.4, rng), _calls(labels, 0.1, rng)
    assert macro_f1_lead(labels, calls, {"baseline": baseline}, np.arange(ROWS), BLOCK, rng).low > 0.1


def test_without_a_lead_the_lower_bound_is_seldom_above_zero() -> None:
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(200):
        labels = _labels(rng)
        calls, baseline = _calls(labels, 0.2, rng), _calls(labels, 0.2, rng)
        passed += macro_f1_lead(labels, calls, {"baseline": baseline}, np.arange(ROWS), BLOCK, rng, draws=200).low > 0
    assert passed / 200 <= 0.04


def test_the_calls_of_both_sides_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    labels = _labels(rng)
    baseline = _calls(labels, np.repeat(rng.random(40), BLOCK), rng)  # some days are easy for all
    calls = np.where(rng.random(ROWS) < 0.05, labels, baseline)
    paired = macro_f1_lead(labels, calls, {"baseline": baseline}, np.arange(ROWS), BLOCK, rng)
    alone = macro_f1_lead(labels, calls, {"baseline": np.zeros_like(labels)}, np.arange(ROWS), BLOCK, rng)
    assert (paired.high - paired.low) < (alone.high - alone.low) / 3


def test_a_lead_that_comes_and_goes_for_longer_than_a_block_has_wider_bounds() -> None:
    rng = np.random.default_rng(0)
    labels = _labels(rng, 4 * ROWS)
    of_spell = np.resize(np.repeat([0.5, 0.0], 4 * BLOCK), len(labels))
    shuffled = rng.permutation(of_spell)
    steady, spells = (
        macro_f1_lead(
            labels, _calls(labels, skill, rng), {"baseline": _calls(labels, 0.2, rng)}, np.arange(4 * ROWS), BLOCK, rng
        )
        for skill in (shuffled, of_spell)
    )
    assert spells.high - spells.low > 1.5 * (steady.high - steady.low)


def test_too_short_a_time_gives_a_lead_without_bounds() -> None:
    rng = np.random.default_rng(0)
    rows = MIN_BLOCKS * BLOCK - 1
    labels = _labels(rng, rows)
    lead = macro_f1_lead(labels, labels, {"baseline": _calls(labels, 0.1, rng)}, np.arange(rows), BLOCK, rng)
    assert lead.value > 0.5
    assert np.isnan([lead.low, lead.high]).all()


def test_the_mean_of_gains_and_its_interval_are_those_of_the_verdicts_draws() -> None:
    rng = np.random.default_rng(0)
    timestamps = np.append(np.arange(ROWS) * 300, np.arange(ROWS // 2) * 300)  # one symbol ends earlier
    gains = rng.normal(0.1, 1.0, len(timestamps))
    measured = mean_lead(gains, timestamps, 48, np.random.default_rng(1), draws=300)
    drawn = resample(ROWS, 48, np.random.default_rng(1), draws=300)
    weights = np.asarray(drawn.weights)[:, timestamps // 300]
    expected = confidence_interval((weights * gains).sum(axis=1) / weights.sum(axis=1), drawn.blocks)
    assert measured.as_row() == pytest.approx(expected.as_row(), abs=1e-6)
    assert measured.value == pytest.approx(gains.mean())


def test_the_mean_of_gains_on_too_few_blocks_has_no_interval() -> None:
    few = mean_lead(np.ones(MIN_BLOCKS * BLOCK - 1), np.arange(MIN_BLOCKS * BLOCK - 1), BLOCK, np.random.default_rng(0))
    assert few.value == 1.0
    assert np.isnan([few.low, few.high]).all()
