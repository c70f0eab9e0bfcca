from __future__ import annotations

import pytest

from search.study.conditions import holds, in_order, inactive

CONDITIONS = {"c": {"b": (2.0,)}, "b": {"a": (1.0, 3.0)}}


def test_a_condition_holds_if_each_named_value_is_among_those_listed() -> None:
    both = {"a": (1.0,), "b": (2.0, 3.0)}
    assert holds(both, {"a": 1, "b": 3})
    assert not holds(both, {"a": 1, "b": 4})
    assert not holds(both, {"b": 3})


def test_a_hyperparameter_comes_after_those_that_its_condition_names() -> None:
    assert in_order(CONDITIONS) == ["b", "c"]
    with pytest.raises(ValueError, match="the conditions of a, b, c depend on each other; take only_if from one of"):
        in_order({**CONDITIONS, "a": {"c": (1.0,)}})


def test_what_has_an_unfulfilled_condition_is_inactive() -> None:
    assert inactive(CONDITIONS, {"a": 2, "b": 0, "c": 0}) == {"b", "c"}
    assert inactive(CONDITIONS, {"a": 2, "b": 2, "c": 0}) == {"b"}  # its base value is the one that c wants
    assert inactive(CONDITIONS, {"a": 3, "b": 2, "c": 0}) == set()
