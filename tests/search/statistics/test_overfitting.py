from __future__ import annotations

import math

import numpy as np
import pytest

from search.statistics.overfitting import MIN_TRIALS, overfitting_probability, share_below_median, symmetric_splits
from search.study.asha import decide, rung_epochs

TRIALS, BLOCKS, GRACE, REDUCTION, MAX_EPOCHS = 64, 10, 2, 3, 18
CAMPAIGNS = 1000


def test_every_half_of_the_blocks_is_taken_once() -> None:
    splits = symmetric_splits(10)
    assert splits.shape == (252, 10)  # 10 over 5
    assert (splits.sum(axis=1) == 5).all()
    assert len(np.unique(splits, axis=0)) == 252
    assert {tuple(row) for row in ~splits} == {tuple(row) for row in splits}  # symmetric


def test_a_case_that_can_be_counted_by_hand() -> None:
    in_sample = np.array([[0.9, 0.1, 0.2], [0.1, 0.9, 0.2], [0.3, 0.1, 0.9], [0.9, 0.3, 0.1]])
    out_of_sample = np.array([[0.9, 0.1, 0.2], [0.3, 0.1, 0.2], [0.3, 0.9, 0.5], [0.1, 0.2, 0.3]])
    # Ranks of the best on the other half: 3, 1, 2, 1 of 3; the one at the median counts half.
    assert share_below_median(in_sample, out_of_sample) == 2.5 / 4


def test_the_score_of_a_half_is_the_mean_of_its_blocks() -> None:
    # Of two blocks, each is once the half that chooses: #0 is chosen on the first, where it is best, and is the worst
    # on the second; #9 the other way round.
    opposed = np.stack([np.arange(10.0)[::-1], np.arange(10.0)], axis=1)
    assert overfitting_probability(opposed) == 1.0
    # Of four blocks, #0 is best by one block that is far above the rest, whatever the block beside it.
    blocks = np.tile(np.arange(10.0)[:, None], 4)
    blocks[0] = [100.0, 0.0, 0.0, 0.0]
    # Chosen in the 3 splits that choose on the first block, where it is the worst on the others; else #9 is chosen, of
    # which only #0 is better on the other half.
    assert overfitting_probability(blocks) == 3 / 6


def test_equal_trials_share_their_ranks_and_the_first_of_them_is_chosen() -> None:
    assert overfitting_probability(np.ones((10, 4))) == 0.5
    assert overfitting_probability(np.random.default_rng(0).standard_normal((1, 10)).repeat(11, axis=0)) == 0.5
    assert share_below_median(np.array([[1.0, 1.0, 0.0]]), np.array([[0.1, 0.9, 0.5]])) == 1.0


def test_blocks_without_a_score_are_left_out_of_the_mean() -> None:
    blocks = np.random.default_rng(1).standard_normal((20, 6))
    without = np.column_stack([blocks, np.full((20, 4), np.nan)])
    halves = [split[:6] for split in symmetric_splits(10) if 0 < split[:6].sum() < 6]  # each with a block that has one
    expected = [share_below_median(*(blocks[:, h].mean(axis=1)[None] for h in (half, ~half))) for half in halves]
    assert overfitting_probability(without) == pytest.approx(np.mean(expected), rel=1e-12)


def test_a_trial_without_a_score_is_the_worst_and_never_chosen() -> None:
    assert share_below_median(np.array([[math.nan, 0.1, 0.2]]), np.array([[0.9, 0.3, math.nan]])) == 1.0
    assert share_below_median(np.array([[math.nan, 0.1, 0.2]]), np.array([[math.nan, 0.3, 0.4]])) == 0.0


def test_too_little_gives_no_probability() -> None:
    blocks = np.random.default_rng(2).standard_normal((10, 10))
    assert 0 <= overfitting_probability(blocks) <= 1
    assert math.isnan(overfitting_probability(blocks[:9]))
    assert math.isnan(overfitting_probability(np.full((10, 10), np.nan)))
    assert math.isnan(overfitting_probability(np.zeros((0, 10))))


def test_a_trial_that_is_better_by_far_is_never_overfitting() -> None:
    blocks = np.random.default_rng(3).standard_normal((12, 10))
    blocks[4] += 20
    assert overfitting_probability(blocks) == 0.0


@pytest.mark.parametrize("trials", [10, 11, 64])
def test_without_skill_it_is_one_half_for_any_number_of_trials(trials: int) -> None:
    rng = np.random.default_rng(trials)
    shares = [overfitting_probability(rng.standard_normal((trials, BLOCKS))) for _ in range(CAMPAIGNS)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)


def _search_without_skill(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Simulate a search with ASHA among trials that differ by luck alone.

    The luck of a trial on a block is in part the same in all epochs. ASHA judges, as in a campaign, by the score of the
    best epoch so far on all of val.

    Returns:
        scores by block: of all trials at the first rung `[N, B]`; of those that reach the end, at their best epoch,
        whose predictions a campaign keeps.
    """
    lasting = rng.standard_normal((TRIALS, 1, BLOCKS))
    scores = lasting + rng.standard_normal((TRIALS, MAX_EPOCHS, BLOCKS))
    values = np.maximum.accumulate(scores.mean(axis=2), axis=1)
    rungs: dict[int, dict[int, float]] = {rung: {} for rung in rung_epochs(GRACE, REDUCTION, MAX_EPOCHS)}
    survivors = []
    for trial in range(TRIALS):
        for rung, earlier in rungs.items():
            value = float(values[trial, rung - 1])
            is_stopped = decide(rung, value, earlier, REDUCTION).action == "stop"
            earlier[trial] = value
            if is_stopped:
                break
        else:
            survivors.append(scores[trial, scores[trial].mean(axis=1).argmax()])
    return scores[:, GRACE - 1], np.array(survivors)


def test_without_skill_it_is_one_half_over_all_trials_of_a_search_but_not_over_its_survivors() -> None:
    rng = np.random.default_rng(5)
    searches = [_search_without_skill(rng) for _ in range(CAMPAIGNS)]
    over_all = [overfitting_probability(all_trials) for all_trials, _ in searches]
    over_survivors = [overfitting_probability(survivors) for _, survivors in searches if len(survivors) >= MIN_TRIALS]
    assert np.mean(over_all) == pytest.approx(0.5, abs=0.03)
    # The survivors were chosen on the rows that they are compared on: so would a wrong figure be noticed.
    assert len(over_survivors) > 100
    assert np.mean(over_survivors) > 0.7
