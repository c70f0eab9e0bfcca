"""Conditions of hyperparameters: some are searched only where others have certain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Condition = Mapping[str, tuple[float, ...]]
"""The values that other hyperparameters must have, by their names: one of those that are listed for each."""


def holds(condition: Condition, params: Mapping[str, Any]) -> bool:
    """Return whether a condition holds.

    Args:
        condition: the condition.
        params: values of the hyperparameters, by name; one that is missing has none of the listed values.
    """
    return all(params.get(name) in values for name, values in condition.items())


def in_order(conditions: Mapping[str, Condition]) -> list[str]:
    """Return the names of the conditional hyperparameters, each after those that its condition names.

    Args:
        conditions: the condition of each conditional hyperparameter, by name.

    Raises:
        ValueError: they depend on each other in a circle.
    """
    ordered: list[str] = []
    while len(ordered) < len(conditions):
        ready = [
            name
            for name, condition in conditions.items()
            if name not in ordered and all(other in ordered or other not in conditions for other in condition)
        ]
        if not ready:
            circle = ", ".join(sorted(conditions.keys() - set(ordered)))
            raise ValueError(f"the conditions of {circle} depend on each other; take only_if from one of them")
        ordered += ready
    return ordered


def inactive(conditions: Mapping[str, Condition], params: Mapping[str, Any]) -> set[str]:
    """Return the names of the hyperparameters whose conditions do not hold.

    Args:
        conditions: the condition of each conditional hyperparameter, by name.
        params: values of all hyperparameters, by name; those of inactive ones are their base values.
    """
    return {name for name, condition in conditions.items() if not holds(condition, params)}
