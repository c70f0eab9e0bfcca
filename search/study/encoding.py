"""How hyperparameters stand in Optuna's study: a power of 2 that is searched by its exponent is that integer there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

LOG2 = "log2_"
"""Prefix of the name of a hyperparameter whose exponent of 2 the study holds."""


def study_name(name: str, names: Collection[str]) -> str:
    """Return the name that a hyperparameter has in the study.

    Args:
        name: its own name.
        names: all names that the study knows.
    """
    return LOG2 + name if LOG2 + name in names else name


def encode(params: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Return hyperparameters as the study holds them.

    Args:
        params: values by name; powers of 2 where the study holds the exponent.
        names: all names that the study knows.
    """
    return {
        study_name(name, names): value.bit_length() - 1 if LOG2 + name in names else value
        for name, value in params.items()
    }


def decode(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters that the study holds, by their own names: the inverse of `encode`.

    Args:
        params: values by the names of the study.
    """
    return {name.removeprefix(LOG2): 2**value if name.startswith(LOG2) else value for name, value in params.items()}
