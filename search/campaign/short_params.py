"""How hyperparameters are shown where there is little room: a short name and a format each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

SHORT_PARAMS = {
    "learning_rate": ("lr", ".1e"),
    "batch_size": ("batch", "3d"),
    "weight_decay": ("wd", ".1e"),
    "dropout": ("dropout", ".2f"),
    "focal_gamma": ("gamma", ".2f"),
    "mixup_alpha": ("mixup", ".2f"),
    "window": ("window", "3d"),
}
"""Short name and format of each hyperparameter, by its name, in the order in which they are shown."""
NOT_SEARCHED = "n/a"
"""Stands for the value of a hyperparameter whose condition did not hold."""


def describe_params(params: Mapping[str, Any], not_searched: Iterable[str] = ()) -> str:
    """Return hyperparameters in one short line.

    Args:
        params: the six hyperparameters by name, and the window where it is searched.
        not_searched: names of those that have their base values only, for which the line says n/a.

    >>> describe_params({"learning_rate": 0.001, "dropout": 0.25}, not_searched=["dropout"])
    'lr 1.0e-03 dropout n/a'
    """
    hidden = set(not_searched)
    return " ".join(
        f"{short} {NOT_SEARCHED if name in hidden else format(params[name], spec)}"
        for name, (short, spec) in SHORT_PARAMS.items()
        if name in params
    )
