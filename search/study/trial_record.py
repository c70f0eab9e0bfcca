"""What is known of a trial: its six values, its epochs, how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

COMPLETE, STOPPED, FAILED, INTERRUPTED = "complete", "stopped", "failed", "interrupted"


TrialStatus = Literal["complete", "stopped", "failed"]
_ATTEMPTS_PER_GENERATION = 1_000_000


@dataclass
class EpochRecord:
    """One epoch of a trial, as the journal holds it.

    Attributes:
        value: best value so far.
        row: what the training reported.
        decision: what was decided on it, with the numbers that led to it; None where nothing was to be decided.
    """

    value: float
    row: dict[str, Any]
    decision: dict[str, Any] | None


@dataclass
class TrialRecord:
    """What the journal holds of one trial.

    Attributes:
        number: Optuna's.
        params: the six.
        origin: what proposed it: the sampler, or the preset or campaign whose values were asked for.
        epochs: by number, from 1.
        attempts: how often it was started.
        outcome: complete, stopped, failed; None while it runs, or may be resumed.
        reason: why it is not complete.
        deaths: why its process died, each time that it did.
        differences: epochs that were run again and came out otherwise.
        generation: how often the campaign had been taken over when it was last started, see `take_over`.
    """

    number: int
    params: dict[str, Any]
    origin: str
    epochs: dict[int, EpochRecord] = field(default_factory=dict)
    attempts: int = 0
    outcome: TrialStatus | None = None
    reason: str = ""
    deaths: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    generation: int = 0

    @property
    def attempt_id(self) -> int:
        """Number of the last attempt among those of all drivers, one that was lost but still runs included.

        What belongs to another attempt is not looked at.
        """
        return self.generation * _ATTEMPTS_PER_GENERATION + self.attempts

    @property
    def last_epoch(self) -> int:
        """The last epoch that was reported and decided on; 0 before the first."""
        return max(self.epochs, default=0)

    @property
    def value(self) -> float:
        """Best value; NaN before the first epoch."""
        return self.epochs[self.last_epoch].value if self.epochs else float("nan")

    def entry(self, row: dict[str, Any], decision: dict[str, Any] | None = None) -> EpochRecord:
        """The next epoch, of what its training reported.

        The metrics of the best epoch so far are kept only where that epoch's own row is another training's: it was run
        again and came out otherwise.
        """
        best = self.epochs.get(row["best_epoch"])
        if best is None or best.row["score"] == row["value"]:
            row = {name: value for name, value in row.items() if name != "best_metrics"}
        value = float("nan") if row["value"] is None else float(row["value"])  # in JSON there is no NaN
        return EpochRecord(value, row, decision)

    @property
    def best_metrics(self) -> dict[str, Any]:
        """All metrics of the epoch that the value was reached at."""
        last = self.epochs[self.last_epoch].row
        found: dict[str, Any] = last.get("best_metrics") or self.epochs[last["best_epoch"]].row["metrics"]
        return found
