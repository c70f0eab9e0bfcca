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

    def epoch(self, logs: Sequence[TrialRecord]) -> None:
        """Show where the running trials are."""
        ended = sum(log.outcome is not None for log in logs)
        self._progress.update(self._task, completed=ended, description=self._description(logs))

    def end(self, log: TrialRecord, logs: Sequence[TrialRecord]) -> None:
        """Show one ended trial and count it."""
        self._progress.console.print(_line(log))
        self.epoch(logs)

    def lost(self, log: TrialRecord) -> None:
        """Show that a trial has lost its process."""
        self._progress.console.print(
            f"#{log.number:<3d} [yellow]lost[/] at epoch {log.last_epoch}: {escape(log.deaths[-1])}"
        )

    def _description(self, logs: Sequence[TrialRecord]) -> str:
        values = [(log.value, log.number) for log in logs if log.epochs and not math.isnan(log.value)]
        best = "best {:.4f} (#{})".format(*max(values)) if values else "starting"
        return f"trials  {best}, {sum(len(log.epochs) for log in logs)} epochs"


def _line(log: TrialRecord) -> str:
    six = log.params
    values = (
        f"lr {six['learning_rate']:.1e} batch {six['batch_size']:3d} wd {six['weight_decay']:.1e} "
        f"dropout {six['dropout']:.2f} gamma {six['focal_gamma']:.2f} mixup {six['mixup_alpha']:.2f}"
    )
    if log.outcome == FAILED:
        return f"#{log.number:<3d} {values}  [red]failed[/]: {escape(log.reason)}"
    return f"#{log.number:<3d} {values}  {log.value:.4f} after {len(log.epochs)} epochs  {log.outcome}"


def incumbent_bar(progress: Progress, name: str, epochs: int) -> Callable[[TrialRecord], None]:
    """A bar for the training of the incumbent; returns what to call after each epoch."""
    task = progress.add_task(f"incumbent {name}", total=epochs)

    def show(log: TrialRecord) -> None:
        latest = log.epochs[log.last_epoch].row
        description = f"incumbent {name}  best {latest['value']:.4f} at {latest['best_epoch']}"
        progress.update(task, completed=latest["epoch"], description=description)

    return show


def progress_bar() -> Progress:
    """The bar that all displays of a campaign share."""
    return console.progress_bar()
