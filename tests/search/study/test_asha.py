from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.study.asha import decide, decide_again, rung_epochs


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


def test_a_tie_is_no_reason_to_stop() -> None:
    assert decide(2, 0.5, {0: 0.5}, 3).action == "continue"
    assert decide(2, 0.5, dict.fromkeys(range(5), 0.5) | {5: 0.6}, 3).action == "continue"  # second of seven: two go on
    assert decide(2, 0.5, dict.fromkeys(range(5), 0.5) | {5: 0.6, 6: 0.7}, 3).action == "stop"


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
        better = sum(other > value for other in seen.values())
        assert (decision.action == "continue") == (better < max((len(seen) + 1) // reduction, 1))
        seen[number] = value


@pytest.mark.parametrize(
    ("value", "others", "stopped"),
    [
        (0.5, {1: 0.6}, False),  # the rung has seen two trials, and decides from three on
        (0.5, {1: 0.6, 2: 0.4}, True),
        (0.7, {1: 0.6, 2: 0.4}, False),  # its later epochs have made up for it
        (0.6, {1: 0.6, 2: 0.4}, False),  # nor here
        (0.5, {1: 0.6, 2: 0.4, 3: 0.4, 4: 0.4, 5: 0.4}, False),  # two of six continue
        (0.5, {1: math.nan, 2: 0.4}, False),
    ],
)
def test_a_trial_that_came_first_is_judged_again_once_the_rung_has_seen_enough(
    value: float, others: dict[int, float], stopped: bool
) -> None:
    first = decide(2, 0.5, {}, 3)
    decision = decide_again(first, value, others, 3)
    assert (decision is not None) == stopped
    if decision is not None:
        assert (decision.rung, decision.value, decision.seen, decision.action) == (2, value, len(others) + 1, "stop")


def test_a_trial_that_the_rung_has_compared_is_not_judged_again() -> None:
    compared = decide(2, 0.5, {0: 0.1, 1: 0.2}, 3)
    assert compared.action == "continue"
    assert decide_again(compared, 0.5, dict.fromkeys(range(9), 0.6), 3) is None
