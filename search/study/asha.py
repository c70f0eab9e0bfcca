"""ASHA, which stops weak trials early: at each rung only the best share continues. Li et al. 2020, arXiv:1810.05934.

The first trial at a rung has nobody to be compared with, and continues. Unlike in the paper, that is not final: trials
that a rung let continue before it had seen `reduction` trials are judged again after each further epoch. A trial is not
stopped for being equal: trials whose networks have not yet learned more than their common forest have equal values.

These are pure functions: the values that a rung has seen are read from the study, so they survive the end of a process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Action = Literal["continue", "pause", "stop"]


def rung_epochs(grace: int, reduction: int, max_epochs: int) -> tuple[int, ...]:
    """Return the epochs of the rungs: grace, grace * reduction, grace * reduction², …, below max_epochs.

    Args:
        grace: the first rung, in epochs.
        reduction: factor between one rung and the next.
        max_epochs: full fidelity, in epochs, at which no decision is needed.

    >>> rung_epochs(grace=2, reduction=3, max_epochs=27)
    (2, 6, 18)
    """
    epochs = []
    epoch = grace
    while epoch < max_epochs:  # exact, unlike a quotient of logarithms
        epochs.append(epoch)
        epoch *= reduction
    return tuple(epochs)


@dataclass(frozen=True)
class Decision:
    """The decision on a trial at a rung, and the numbers that led to it.

    Attributes:
        rung: the epoch of the rung.
        value: the trial's value at the rung; higher is better.
        seen: number of trials that have reached the rung, this one included.
        rank: the trial's rank among them, counted from 1; equal values share a rank. 0 if the value is not finite.
        kept: number of these trials that ASHA lets continue.
        action: whether this trial continues, now (`continue`) or perhaps later (`pause`).
    """

    rung: int
    value: float
    seen: int
    rank: int
    kept: int
    action: Action

    def as_row(self) -> dict[str, Any]:
        """Return the decision in plain values, for JSON."""
        return asdict(self)

    @property
    def reason(self) -> str:
        """Why the trial was stopped, in words; without meaning if it was not."""
        if self.rank == 0:
            return f"value is not finite at epoch {self.rung}"
        return f"stopped at rung {self.rung}: rank {self.rank} of {self.seen}, not in the top {self.kept}"


def decide_again(earlier: Decision, value: float, others: Mapping[int, float], reduction: int) -> Decision | None:
    """Decide whether a trial still continues that a rung let continue when it had seen too few others.

    Args:
        earlier: the decision of the rung.
        value: the trial's present value, of all epochs since; higher is better.
        others: values of the other trials at this rung, by trial number, the later ones included.
        reduction: reduction factor, see `decide`.

    Returns:
        the decision to stop the trial, if even its present value is not among the best n // reduction; None otherwise.
    """
    seen = len(others) + 1
    if earlier.seen >= reduction or seen < reduction:
        return None
    kept = seen // reduction
    rank = 1 + sum(other > value for other in others.values())
    return Decision(earlier.rung, value, seen, rank, kept, "stop") if rank > kept else None


def decide(rung: int, value: float, earlier: Mapping[int, float], reduction: int) -> Decision:
    """Decide whether a trial that reaches a rung continues.

    Args:
        rung: the epoch of the rung.
        value: the trial's value; higher is better.
        earlier: values of the trials that reached this rung before, by trial number.
        reduction: reduction factor: of n trials at a rung the best n // reduction continue, but at least one.
    """
    seen = len(earlier) + 1
    kept = max(seen // reduction, 1)
    if not math.isfinite(value):
        return Decision(rung, value, seen, 0, kept, "stop")
    rank = 1 + sum(other > value for other in earlier.values())
    return Decision(rung, value, seen, rank, kept, "continue" if rank <= kept else "stop")
