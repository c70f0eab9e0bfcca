"""Shows the progress of a campaign on the terminal while it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from rich.markup import escape
from rich.progress import Progress

from search.campaign.estimate import RemainingTime, describe_duration
from search.campaign.short_params import describe_params
from search.study.trial_record import FAILED, TrialRecord


class Display:
    """Shows a bar for the campaign, and prints a line for each trial that ends or loses its process.

    It counts as it goes: going through all trials at each epoch would slow down a campaign of thousands.
    """

    def __init__(
        self,
        progress: Progress,
        total: int,
        recorded: Iterable[TrialRecord] = (),
        remaining: RemainingTime | None = None,
        unit: str = "epochs",
    ) -> None:
        """Add the campaign's bar.

        Args:
            progress: the progress bar to add to, which is live already.
            total: number of trials that the campaign asks for.
            recorded: the trials of earlier runs.
            remaining: estimates how long the search still takes; None to show no estimate.
            unit: name of the steps of a trial.
        """
        self._unit = unit
        self._progress = progress
        self._remaining = remaining
        self._ended = self._epochs = 0
        self._best: tuple[float, int] | None = None  # value and number
        recorded = list(recorded)
        if remaining is not None:
            remaining.read(recorded)
        for trial in recorded:
            self._ended += trial.outcome is not None
            self._epochs += len(trial.epochs)
            self._consider(trial)
        self._task = progress.add_task(self._description(), total=total, completed=self._ended)

    def epoch(self, trial: TrialRecord) -> None:
        """Update the bar after a new epoch.

        Args:
            trial: the trial that the epoch belongs to.
        """
        self._epochs += 1
        self._consider(trial)
        if self._remaining is not None:
            self._remaining.count_epoch(trial)
        self._update()

    def end(self, trial: TrialRecord) -> None:
        """Print the line of a trial that has ended, and update the bar.

        Args:
            trial: the trial that has ended.
        """
        self._ended += 1
        if self._remaining is not None:
            self._remaining.count_end(trial)
        self._progress.console.print(_format_ended(trial, self._unit))
        self._update()

    def lost(self, trial: TrialRecord) -> None:
        """Print a line for a trial whose process has died.

        Args:
            trial: the trial, with the reason as the last of its deaths.
        """
        self._progress.console.print(
            f"#{trial.number:<3d} [yellow]lost[/] after {trial.last_epoch} {self._unit}: {escape(trial.deaths[-1])}"
        )

    def _consider(self, trial: TrialRecord) -> None:
        """Take a trial for the best one if it is."""
        if trial.epochs and not math.isnan(trial.value):
            candidate = trial.value, trial.number
            self._best = max(self._best or candidate, candidate, key=_rank)

    def _update(self) -> None:
        self._progress.update(self._task, completed=self._ended, description=self._description())

    def _description(self) -> str:
        best = "best {:.4f} (#{})".format(*self._best) if self._best else "starting"
        seconds = None if self._remaining is None else self._remaining.seconds
        left = f", about {describe_duration(seconds)} left" if seconds else ""
        return f"trials  {best}, {self._epochs} {self._unit}{left}"


def _rank(scored: tuple[float, int]) -> tuple[float, int]:
    """Return what to order trials by, given value and number: of equal ones the earlier is better, as everywhere."""
    value, number = scored
    return value, -number


def _format_ended(trial: TrialRecord, unit: str = "epochs") -> str:
    """Format the line of an ended trial: its hyperparameters, and its value or why it failed."""
    values = describe_params(trial.params, trial.not_searched)
    if trial.outcome == FAILED:
        return f"#{trial.number:<3d} {values}  [red]failed[/]: {escape(trial.reason)}"
    return f"#{trial.number:<3d} {values}  {trial.value:.4f} after {len(trial.epochs)} {unit}  {trial.outcome}"


def add_incumbent_bar(progress: Progress, name: str, epochs: int) -> Callable[[TrialRecord], None]:
    """Add a bar for the training of the incumbent.

    Args:
        progress: the progress bar to add to, which is live already.
        name: name of the incumbent's preset.
        epochs: number of epochs that the incumbent may train.

    Returns:
        a function to call after each epoch with the record of the training.
    """
    task = progress.add_task(f"incumbent {name}", total=epochs)

    def show(trial: TrialRecord) -> None:
        description = f"incumbent {name}  best {trial.value:.4f} at {trial.last.best_epoch}"
        progress.update(task, completed=trial.last_epoch, description=description)

    return show
