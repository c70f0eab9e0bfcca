from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from core.evaluation.blocks import score_time_blocks, split_time_blocks


@pytest.mark.parametrize("symbols", [1, 3])
@pytest.mark.parametrize("count", [10, 97, 1000])
def test_blocks_are_consecutive_equal_and_hold_each_row_once(count: int, symbols: int) -> None:
    rng = np.random.default_rng(count)
    timestamps = np.concatenate([np.sort(rng.choice(10 * count, count, replace=False))] * symbols)
    blocks = split_time_blocks(timestamps)
    assert len(blocks) == 10
    assert np.sort(np.concatenate(blocks)).tolist() == list(range(count * symbols))
    instants = [np.unique(timestamps[block]) for block in blocks]
    assert all(len(block) == symbols * len(own) for block, own in zip(blocks, instants, strict=True))
    assert {len(own) for own in instants} <= {count // 10, count // 10 + 1}
    assert all(early[-1] < late[0] for early, late in pairwise(instants))


def test_a_block_without_a_row_or_a_defined_score_is_nan() -> None:
    values = np.array([0.5, math.nan, 0.7])
    scores = score_time_blocks(np.array([0, 1, 2]), lambda indices: float(values[indices].mean()), blocks=6)
    # The instants lie in blocks 0, 2 and 4 of 6; the score of the middle one is not defined.
    np.testing.assert_array_equal(scores, [0.5, math.nan, math.nan, math.nan, 0.7, math.nan])


def test_no_row_gives_no_score() -> None:
    assert all(map(math.isnan, score_time_blocks(np.zeros(0), lambda _: 1.0)))
