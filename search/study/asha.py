"""ASHA: at each rung, only the best part of the trials goes on. Li et al. 2020, arXiv:1810.05934.

Pure functions: what a rung has seen is read from the study, so it survives whatever ends the process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Action = Literal["continue", "stop"]


def rung_epochs(grace: int, reduction: int, max_epochs: int) -> tuple[int, ...]:
    """Epochs of the rungs: grace, grace * reduction, … below max_epochs. Exact: no logarithms."""
    found = []
    epoch = grace
    while epoch < max_epochs:
        found.append(epoch)
        epoch *= reduction
    return tuple(found)


@dataclass(frozen=True)
class Decision:
    """What was decided at a rung, and the numbers that led to it.

    Attributes:
        rung: the epoch.
        value: the trial's value there.
        seen: trials that have reached the rung, this one included.
        rank: this one's place among them, from 1; a tie goes to whoever was there first. 0 if its value is not finite.
        kept: how many of so many go on.
        action: whether this one does.
    """

    rung: int
    value: float
    seen: int
    rank: int
    kept: int
    action: Action

    def as_row(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @property
    def reason(self) -> str:
        """Why the trial was stopped, in words."""
        if self.rank == 0:
            return f"value is not finite at epoch {self.rung}"
        return f"stopped at rung {self.rung}: place {self.rank} of {self.seen}, of which {self.kept} go on"


def decide(rung: int, value: float, earlier: Mapping[int, float], reduction: int) -> Decision:
    """Decide on a trial that reaches a rung.

    Args:
        rung: the epoch.
        value: its value, higher is better.
        earlier: values of the trials that reached this rung before, by trial.
        reduction: of n trials at a rung, the best n // reduction go on, one at least.
    """
    seen = len(earlier) + 1
    kept = max(seen // reduction, 1)
    if not math.isfinite(value):
        return Decision(rung, value, seen, 0, kept, "stop")
    rank = 1 + sum(other >= value for other in earlier.values())
    return Decision(rung, value, seen, rank, kept, "continue" if rank <= kept else "stop")
