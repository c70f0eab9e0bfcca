from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.study.asha import decide, rung_epochs


@pytest.mark.parametrize(
    ("grace", "reduction", "max_epochs", "rungs"),
    [
        (2, 3, 18, (2, 6)),
        (1, 3, 3, (1,)),
        (2, 3, 19, (2, 6, 18)),
        (5, 2, 5, ()),
        (1, 2, 9, (1, 2, 4, 8)),
        (1, 5, 125, (1, 5, 25)),
        (1, 3, 243, (1, 3, 9, 27, 81)),  # a quotient of logarithms gives 4.999 here
        (1, 10, 1000, (1, 10, 100)),
    ],
)
def test_rungs_are_exact_integer_multiples(grace: int, reduction: int, max_epochs: int, rungs: tuple[int, ...]) -> None:
    assert rung_epochs(grace, reduction, max_epochs) == rungs


def test_the_first_trial_at_a_rung_continues() -> None:
    decision = decide(2, 0.1, {}, 3)
    assert (decision.action, decision.rank, decision.seen, decision.kept) == ("continue", 1, 1, 1)


def test_the_best_share_continues_and_the_others_are_stopped_with_the_numbers_that_decided() -> None:
    earlier = dict(enumerate((0.5, 0.4, 0.6, 0.3, 0.2)))
    assert decide(2, 0.55, earlier, 3).action == "continue"  # second of six, of which two continue
    third = decide(2, 0.45, earlier, 3)
    assert (third.action, third.rank, third.seen, third.kept) == ("stop", 3, 6, 2)
    assert third.reason == "stopped at rung 2: rank 3 of 6, not in the top 2"


def test_the_earlier_trial_wins_a_tie() -> None:
    assert decide(2, 0.5, {0: 0.5}, 3).action == "stop"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_stopped_even_alone(value: float) -> None:
    decision = decide(2, value, {}, 3)
    assert decision.action == "stop"
    assert "not finite" in decision.reason


def test_no_trial_ranks_behind_a_value_that_is_nan() -> None:
    assert decide(2, 0.1, {0: math.nan}, 3).action == "continue"


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=60), reduction=st.integers(2, 5))
def test_at_any_time_a_trial_continues_only_if_it_is_among_the_best_so_far(values: list[float], reduction: int) -> None:
    seen: dict[int, float] = {}
    for number, value in enumerate(values):
        decision = decide(1, value, seen, reduction)
        better = sum(other >= value for other in seen.values())
        assert (decision.action == "continue") == (better < max((len(seen) + 1) // reduction, 1))
        seen[number] = value
