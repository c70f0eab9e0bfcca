"""Estimates how long a search still takes: from the epochs that it has run, before that from earlier campaigns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from search.campaign.plan import CampaignPlan
from search.campaign.recorded_speed import find_speed
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
        epochs: number of epochs after which no trial begins; None for no limit.
        seconds_to_begin: returns for how many seconds trials may still begin; None where time is not limited.
        epoch_seconds: seconds of an epoch as far as known before the first one; None if nothing is known.
    """

    rungs: Sequence[int]
    reduction: int
    max_epochs: int
    pauses: bool
    concurrency: int
    requested: int
    epochs: int | None = None
    seconds_to_begin: Callable[[], float] | None = None
    epoch_seconds: float | None = None
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
        """Seconds until the last trial ends, by the mean time of an epoch so far; None if no epoch is known."""
        epoch_seconds = self._seconds / self._epochs if self._epochs else self.epoch_seconds
        if epoch_seconds is None:
            return None
        to_begin = max(self.requested - self._begun, 0)
        epochs_to_begin = to_begin * self.expected_epochs(0)
        if self.epochs is not None:
            epochs_to_begin = min(epochs_to_begin, max(self.epochs - self._epochs - self._expected, 0.0))
        workers = max(min(self.concurrency, len(self._open) + to_begin), 1)
        seconds = (self._expected + epochs_to_begin) / workers * epoch_seconds
        if self.seconds_to_begin is None:
            return seconds
        # A trial that begins when the time is nearly over still runs to its end.
        last = self.expected_epochs(0) if to_begin else self._expected / workers
        return min(seconds, max(self.seconds_to_begin(), 0.0) + last * epoch_seconds)


def make_estimate(plan: CampaignPlan, seconds_to_begin: Callable[[], float] | None = None) -> RemainingTime:
    """Make the estimate of a campaign's search; until its first epoch, an earlier campaign says what an epoch takes.

    Args:
        plan: the planned campaign.
        seconds_to_begin: returns for how many seconds trials may still begin; None where time is not limited.
    """
    config = plan.config
    speed = find_speed(plan.folder.path.parent, config, plan.resources.device, plan.data["rows"])
    return RemainingTime(
        rungs=config.rungs,
        reduction=config.reduction,
        max_epochs=config.steps,
        pauses=config.asha == "promotion",
        concurrency=plan.resources.max_concurrent,
        requested=config.trials,
        epochs=config.epochs,
        seconds_to_begin=seconds_to_begin,
        epoch_seconds=None if speed is None else speed.seconds,
    )


def describe_estimate(plan: CampaignPlan) -> str | None:
    """Say how long the search of a new campaign will take; None if no earlier campaign tells what an epoch takes.

    Args:
        plan: the planned campaign.
    """
    config = plan.config
    speed = find_speed(plan.folder.path.parent, config, plan.resources.device, plan.data["rows"])
    seconds = make_estimate(plan, None if config.hours is None else partial(float, config.hours * 3600)).seconds
    if speed is None or seconds is None:
        return None
    step = "an epoch" if config.cells is None else "a cell"
    return (
        f"The search takes about {describe_duration(seconds)} if {step} takes {speed.seconds:.1f} s, as those of "
        f"campaign {speed.campaign} suggest; {plan.resources.max_concurrent} trials run at a time."
    )


def describe_duration(seconds: float) -> str:
    """Return a length of time in words, with no more precision than an estimate has.

    >>> describe_duration(20), describe_duration(400), describe_duration(40_000)
    ('1 min', '7 min', '11.1 h')
    """
    minutes = max(round(seconds / 60), 1)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"
