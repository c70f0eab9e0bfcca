"""The record of a trial in the journal: its hyperparameters, its epochs, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from search.study.asha import Decision

TrialStatus = Literal["complete", "stopped", "failed"]
COMPLETE, STOPPED, FAILED, INTERRUPTED = "complete", "stopped", "failed", "interrupted"
STATUSES = frozenset({COMPLETE, STOPPED, FAILED, INTERRUPTED})
"""The statuses of the trials table; a trial without a final status is interrupted."""
_ATTEMPTS_PER_GENERATION = 1_000_000


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a training: the record that travels unchanged from the trainer to the journal and its tables.

    Attributes:
        epoch: counted from 1.
        value: best score up to this epoch.
        score: ranking metric of this epoch on val.
        best_epoch: the epoch that reached `value`.
        train_loss: mean training loss; comparable within one training only.
        learning_rate: the rate at the end of the epoch.
        seconds: wall-clock time of training and evaluation.
        metrics: all metrics of this epoch on val, by name.
        best_metrics: all metrics of the best epoch on val; None if the record of that epoch holds them.
        decision: the decision of the rung at this epoch; None if there is no rung, or no decision yet.
        val_blocks: ranking score of this epoch on each block of val's time, see `core.evaluation.blocks`; None at other
            epochs than that of the first rung, and in what earlier versions recorded.
    """

    epoch: int
    value: float
    score: float
    best_epoch: int
    train_loss: float
    learning_rate: float
    seconds: float
    metrics: Mapping[str, float]
    best_metrics: Mapping[str, float] | None = None
    decision: Decision | None = None
    val_blocks: tuple[float, ...] | None = None

    def as_row(self) -> dict[str, Any]:
        """Return what the training reported, in plain values for JSON; the decision is not part of it."""
        row = asdict(self)
        del row["decision"]
        if self.best_metrics is None:
            del row["best_metrics"]
        if self.val_blocks is None:
            del row["val_blocks"]
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any], decision: Mapping[str, Any] | None = None) -> EpochRecord:
        """Create a record from the values that `as_row` returned.

        Args:
            row: the plain values; None stands for NaN, which strict JSON cannot write.
            decision: the plain values of the decision of a rung; None if there is none.

        Raises:
            KeyError, TypeError, ValueError: the row was not written by this program, or is damaged.
        """
        numbers = {name: _number(row[name]) for name in ("value", "score", "train_loss", "learning_rate", "seconds")}
        best, blocks = row.get("best_metrics"), row.get("val_blocks")
        return cls(
            epoch=int(row["epoch"]),
            best_epoch=int(row["best_epoch"]),
            metrics=dict(row["metrics"]),
            best_metrics=None if best is None else dict(best),
            decision=None if decision is None else Decision(**decision),
            val_blocks=None if blocks is None else tuple(_number(score) for score in blocks),
            **numbers,
        )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


@dataclass(frozen=True)
class TrialAssignment:
    """The trial that a training process is to run, and where to continue.

    Attributes:
        number: number of the trial, counted from 0 within its campaign.
        attempt_id: fencing token of this attempt, see `TrialRecord.attempt_id`.
        last_epoch: the last epoch that the journal holds, 0 for none; the training continues after it.
        params: the six hyperparameters, by name.
    """

    number: int
    attempt_id: int
    last_epoch: int
    params: Mapping[str, Any]


@dataclass
class TrialRecord:
    """The record of one trial, as the journal holds it.

    Attributes:
        number: Optuna's number of the trial.
        params: the six hyperparameters, by name.
        origin: what proposed the trial: the sampler, or the preset or campaign whose values were tried first.
        epochs: the epochs reported so far, by number from 1.
        attempts: how often the trial was started since the campaign was last taken over.
        outcome: the final status; None while the trial runs or can still be resumed.
        reason: why the trial is not complete; empty if it is.
        deaths: why its process died, one entry for each death.
        differences: epochs that were run again and gave other figures, as messages.
        generation: how often the campaign had been taken over when the trial was last started, see `take_over`.
        promoted: the last rung that the trial was paused at and promoted from; 0 if there is none.
        not_searched: names of the hyperparameters that have their base values, as their conditions did not hold.
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
    promoted: int = 0
    not_searched: tuple[str, ...] = ()

    @property
    def attempt_id(self) -> int:
        """Fencing token of the last attempt: unique over all drivers that ever ran the campaign.

        Files that another attempt wrote, perhaps by a worker that was lost but still runs, are never read.
        """
        return self.generation * _ATTEMPTS_PER_GENERATION + self.attempts

    @property
    def last_epoch(self) -> int:
        """The last epoch that was reported and decided on; 0 before the first."""
        return max(self.epochs, default=0)

    @property
    def last(self) -> EpochRecord:
        """The record of the last epoch.

        Raises:
            KeyError: there is no epoch yet.
        """
        return self.epochs[self.last_epoch]

    @property
    def value(self) -> float:
        """Best value so far; NaN before the first epoch."""
        return self.last.value if self.epochs else float("nan")

    @property
    def assignment(self) -> TrialAssignment:
        """The assignment for the process of the current attempt."""
        return TrialAssignment(self.number, self.attempt_id, self.last_epoch, dict(self.params))

    def recordable(self, record: EpochRecord) -> EpochRecord:
        """Return the next epoch as it is recorded: without the best epoch's metrics if that epoch's record holds them.

        They are kept only if the best epoch was run again and gave other figures, because then its record is that of
        another training.

        Args:
            record: the epoch as the training reported it.
        """
        best = self.epochs.get(record.best_epoch)
        if best is None or best.score == record.value:
            return replace(record, best_metrics=None)
        return record

    def averaged(self, record: EpochRecord) -> EpochRecord:
        """Return the next cell with the means over all cells so far as its value and its best metrics.

        Args:
            record: the cell as the training reported it, with its own score and metrics.
        """
        cells = [self.epochs[number] for number in sorted(self.epochs) if number < record.epoch] + [record]
        means = {name: sum(cell.metrics[name] for cell in cells) / len(cells) for name in record.metrics}
        value = sum(cell.score for cell in cells) / len(cells)
        return replace(record, value=value, best_epoch=record.epoch, best_metrics=means)

    @property
    def best_metrics(self) -> dict[str, float]:
        """All metrics of the epoch that reached the value."""
        return dict(self.last.best_metrics or self.epochs[self.last.best_epoch].metrics)
