"""Shows how a campaign goes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.markup import escape
from rich.progress import Progress

from core import console
from search.study.trial_record import FAILED, TrialRecord


class Display:
    """A bar for the campaign and a line for each trial that ended."""

    def __init__(self, progress: Progress, trials: int) -> None:
        """Show `trials` trials on a progress bar that is already live."""
        self._progress = progress
        self._task = progress.add_task("trials", total=trials)

    def epoch(self, trials: Sequence[TrialRecord]) -> None:
        """Show where the running trials are."""
        ended = sum(trial.outcome is not None for trial in trials)
        self._progress.update(self._task, completed=ended, description=self._description(trials))

    def end(self, trial: TrialRecord, trials: Sequence[TrialRecord]) -> None:
        """Show one ended trial and count it."""
        self._progress.console.print(_line(trial))
        self.epoch(trials)

    def lost(self, trial: TrialRecord) -> None:
        """Show that a trial has lost its process."""
        self._progress.console.print(
            f"#{trial.number:<3d} [yellow]lost[/] at epoch {trial.last_epoch}: {escape(trial.deaths[-1])}"
        )

    def _description(self, trials: Sequence[TrialRecord]) -> str:
        values = [(trial.value, trial.number) for trial in trials if trial.epochs and not math.isnan(trial.value)]
        best = "best {:.4f} (#{})".format(*max(values)) if values else "starting"
        return f"trials  {best}, {sum(len(trial.epochs) for trial in trials)} epochs"


def _line(trial: TrialRecord) -> str:
    six = trial.params
    values = (
        f"lr {six['learning_rate']:.1e} batch {six['batch_size']:3d} wd {six['weight_decay']:.1e} "
        f"dropout {six['dropout']:.2f} gamma {six['focal_gamma']:.2f} mixup {six['mixup_alpha']:.2f}"
    )
    if trial.outcome == FAILED:
        return f"#{trial.number:<3d} {values}  [red]failed[/]: {escape(trial.reason)}"
    return f"#{trial.number:<3d} {values}  {trial.value:.4f} after {len(trial.epochs)} epochs  {trial.outcome}"


def incumbent_bar(progress: Progress, name: str, epochs: int) -> Callable[[TrialRecord], None]:
    """A bar for the training of the incumbent; returns what to call after each epoch."""
    task = progress.add_task(f"incumbent {name}", total=epochs)

    def show(trial: TrialRecord) -> None:
        description = f"incumbent {name}  best {trial.value:.4f} at {trial.last.best_epoch}"
        progress.update(task, completed=trial.last_epoch, description=description)

    return show


def progress_bar() -> Progress:
    """The bar that all displays of a campaign share."""
    return console.progress_bar()
