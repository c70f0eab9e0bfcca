"""How often a race drops the best candidate, and calls a plateau a spike, when all differences are luck."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from search.statistics.racing import RISK, Noise, drop_to_neighbours, gaps_to_best, pooled_noise


def test_between_two_candidates_the_bound_is_that_of_a_paired_t_test() -> None:
    scores = np.random.default_rng(0).normal([[0.4], [0.0]], 1.0, size=(2, 9))
    best = int(scores.mean(axis=1).argmax())
    gap = gaps_to_best(scores, look=1, starters=2)[1 - best]
    test = stats.ttest_rel(scores[best], scores[1 - best], alternative="greater")
    assert gap.value == pytest.approx((scores[best] - scores[1 - best]).mean())
    assert gap.low == pytest.approx(test.confidence_interval(1 - RISK / 2).low)  # the first look has half of the risk


def test_the_noise_is_what_neither_candidate_nor_cell_explains() -> None:
    rng = np.random.default_rng(0)
    tables = [
        rng.normal(0, 5, (count, 1)) + rng.normal(0, 5, (1, cells)) + rng.normal(0, 0.3, (count, cells))
        for count, cells in ((8, 30), (2, 60), (1, 9), (5, 1))
    ]
    noise = pooled_noise(tables)
    assert noise.freedom == 7 * 29 + 59
    assert noise.deviation == pytest.approx(0.3, rel=0.1)
    assert pooled_noise(tables[2:]).freedom == 0
    assert math.isnan(pooled_noise([]).deviation)


@pytest.mark.parametrize(("starters", "cells"), [(2, 30), (8, 15)])
def test_the_best_candidate_is_rarely_dropped_however_often_it_is_compared(starters: int, cells: int) -> None:
    rng = np.random.default_rng(0)
    races, dropped, dropped_without_allowance = 500, 0, 0
    for _ in range(races):
        scores = rng.normal(size=(starters, cells))  # all are the best, the first one as well as any
        looks = [(scores[:, :count], count - 2) for count in range(3, cells + 1)]
        dropped += any(gaps_to_best(part, look, starters)[0].low > 0 for part, look in looks)
        # What the bound allows for is left out: each look as if it were the only one, and of two candidates.
        dropped_without_allowance += any(gaps_to_best(part, 1, 2)[0].low > 0 for part, _ in looks)
    assert dropped / races <= RISK
    assert dropped_without_allowance / races > 2 * RISK


def test_one_far_behind_is_dropped_at_the_first_look() -> None:
    scores = np.random.default_rng(1).normal(0, 0.01, (8, 3))
    scores[5] -= 0.2
    gaps = gaps_to_best(scores, look=1, starters=8)
    assert [index for index, gap in enumerate(gaps) if gap.low > 0] == [5]
    assert gaps[int(scores.mean(axis=1).argmax())].value == 0.0


def test_cells_that_do_not_define_the_score_are_left_out() -> None:
    scores = np.random.default_rng(2).normal(size=(3, 6))
    with_gap = np.insert(scores, 2, [np.nan, 0.0, 9.0], axis=1)
    assert gaps_to_best(with_gap, 2, 3) == gaps_to_best(scores, 2, 3)
    undefined = gaps_to_best(np.full((2, 4), np.nan), 1, 2)
    assert all(math.isnan(gap.value) and gap.low == -math.inf for gap in undefined)
    single = gaps_to_best(np.array([[0.5], [0.2]]), 1, 2)
    assert [(gap.value, gap.low) for gap in single] == [(0.0, -math.inf), (0.3, -math.inf)]


def test_the_best_of_many_on_a_plateau_is_rarely_called_a_spike() -> None:
    rng = np.random.default_rng(0)
    cases, wrong, without_allowance = 1500, 0, 0
    for _ in range(cases):
        scores, beside = rng.normal(size=(8, 5)), rng.normal(size=(6, 5))
        winner = scores[scores.mean(axis=1).argmax()]
        noise = pooled_noise([scores])
        wrong += drop_to_neighbours(winner, beside, noise, starters=8).low > 0
        without_allowance += drop_to_neighbours(winner, beside, noise, starters=1).low > 0
    assert wrong / cases <= RISK / 2
    assert without_allowance / cases > 2 * RISK


def test_the_drop_to_the_neighbours_is_paired() -> None:
    cells = np.array([0.0, 10.0, np.nan])
    beside = np.stack([cells - 1.0, cells - 3.0])
    drop = drop_to_neighbours(cells, beside, Noise(0.5, 20), starters=1)
    width = stats.t.ppf(0.975, 20) * 0.5 * math.sqrt((1 + 1 / 2) / 2)
    assert (drop.value, drop.low, drop.high) == pytest.approx((2.0, 2.0 - width, 2.0 + width))
    assert math.isnan(drop_to_neighbours(cells, beside, Noise(math.nan, 0), 1).low)
    assert math.isnan(drop_to_neighbours(cells[2:], beside[:, 2:], Noise(0.5, 20), 1).value)
