"""Estimates how long a search still takes from the epochs that it has run so far."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from search.study.trial_record import TrialRecord


@dataclass
class RemainingTime:
    """Estimates how long a search still takes; it counts as it goes, so that large campaigns are not slowed down.

    Attributes:
        rungs: the epochs of the rungs.
        reduction: ASHA's reduction factor r: the estimate assumes that 1/r of the trials at a rung go on.
        max_epochs: full fidelity, in epochs.
        pauses: whether trials pause at the rungs, so that one that is at a rung may not go on.
        concurrency: number of trials that run at a time.
        requested: number of trials that the campaign asks for.
    """

    rungs: Sequence[int]
    reduction: int
    max_epochs: int
    pauses: bool
    concurrency: int
    requested: int
    _open: dict[int, float] = field(default_factory=dict)  # epochs that each trial is expected to run on
    _expected: float = 0.0  # their sum
    _begun: int = 0
    _epochs: int = 0
    _seconds: float = 0.0

    def read(self, trials: Iterable[TrialRecord]) -> None:
        """Count the epochs of recorded trials.

        Args:
            trials: the trials of earlier runs.
        """
        for trial in trials:
            self._set_expected(trial.number, self.expected_epochs(trial.last_epoch))
            self._epochs += len(trial.epochs)
            self._seconds += sum(epoch.seconds for epoch in trial.epochs.values())
            if trial.outcome is not None:
                self.count_end(trial)

    def count_epoch(self, trial: TrialRecord) -> None:
        """Count a new epoch, the last one of a trial."""
        self._set_expected(trial.number, self.expected_epochs(trial.last_epoch))
        self._epochs += 1
        self._seconds += trial.last.seconds

    def count_end(self, trial: TrialRecord) -> None:
        """Count a trial that has ended."""
        self._set_expected(trial.number, 0.0)
        del self._open[trial.number]

    def _set_expected(self, number: int, epochs: float) -> None:
        self._begun += number not in self._open
        self._expected += epochs - self._open.get(number, 0.0)
        self._open[number] = epochs

    def expected_epochs(self, done: int) -> float:
        """Return how many epochs a trial is expected to run on.

        Args:
            done: number of epochs that the trial has run.
        """
        share = 1 / self.reduction if self.pauses and done in self.rungs else 1.0
        epoch, expected = done, 0.0
        for stop in (*(rung for rung in self.rungs if rung > done), self.max_epochs):
            expected += share * (stop - epoch)
            share, epoch = share / self.reduction, stop
        return expected

    @property
    def seconds(self) -> float | None:
        """Seconds until the last trial ends, by the mean time of an epoch so far; None before the first one."""
        if self._epochs == 0:
            return None
        to_begin = max(self.requested - self._begun, 0)
        epochs = self._expected + to_begin * self.expected_epochs(0)
        workers = max(min(self.concurrency, len(self._open) + to_begin), 1)
        return epochs / workers * self._seconds / self._epochs


def describe_duration(seconds: float) -> str:
    """Return a length of time in words, with no more precision than an estimate has.

    >>> describe_duration(20), describe_duration(400), describe_duration(40_000)
    ('1 min', '7 min', '11.1 h')
    """
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"
