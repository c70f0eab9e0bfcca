"""Follows a campaign through Ray's callbacks: keeps its records, writes its tables, shows how it goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from rich.markup import escape
from rich.progress import Progress

from core import console
from search import results
from search.results import TrialRecord
from search.space import NAMES


class Recorder(tune.Callback):
    """Keeps a record a trial. Calls `on_end` with each that ended, `on_epoch` after each epoch, `on_step` often.

    `records` lists all trials that reported, by number: the order in which they were asked for.
    """

    def __init__(
        self,
        max_epochs: int,
        on_epoch: Callable[[Recorder], None],
        on_end: Callable[[Recorder, TrialRecord], None],
        on_step: Callable[[], None] = lambda: None,
    ) -> None:
        """Count a trial as complete at `max_epochs`."""
        self._on_step = on_step
        self._max_epochs = max_epochs
        self._on_epoch = on_epoch
        self._on_end = on_end
        self._by_id: dict[str, TrialRecord] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the hooks: Tune pickles callbacks into its own record, and a live display cannot be."""
        return {key: value for key, value in self.__dict__.items() if not key.startswith("_on_")}

    @property
    def records(self) -> list[TrialRecord]:
        """All trials, by number."""
        return sorted(self._by_id.values(), key=lambda record: record.number)

    def _record(self, trials: list[Any], trial: Any) -> TrialRecord:
        """The trial's record. Ray does not announce the start of a trial whose process dies while starting."""
        if trial.trial_id not in self._by_id:
            number = next(place for place, other in enumerate(trials) if other is trial)
            self._by_id[trial.trial_id] = TrialRecord(number, {name: trial.config[name] for name in NAMES})
        return self._by_id[trial.trial_id]

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look after what runs beside the trials."""
        self._on_step()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Number the trial by its place in the order of asking."""
        self._record(trials, trial)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Keep the epoch."""
        record = self._record(trials, trial)
        if result["outcome"] == "failed":
            record.status, record.reason = results.FAILED, result["reason"]
        else:
            record.epochs.append(result)
            self._on_epoch(self)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Say how the trial ended."""
        record = self._record(trials, trial)
        if record.status != results.FAILED:
            reached = record.epochs[-1]["epoch"]
            if reached >= self._max_epochs:
                record.status = results.COMPLETE
            else:
                record.status, record.reason = results.STOPPED, f"stopped at rung {reached}"
        self._on_end(self, record)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process died, or Ray lost it."""
        record = self._record(trials, trial)
        record.status, record.reason = results.FAILED, results.first_line(trial.get_error())
        self._on_end(self, record)


class Display:
    """A bar for the campaign and a line for each trial that ended."""

    def __init__(self, progress: Progress, trials: int) -> None:
        """Show `trials` trials on a progress bar that is already live."""
        self._progress = progress
        self._task = progress.add_task("trials", total=trials)

    def epoch(self, recorder: Recorder) -> None:
        """Show where the running trials are."""
        self._progress.update(self._task, description=self._description(recorder))

    def end(self, recorder: Recorder, record: TrialRecord) -> None:
        """Show one ended trial and count it."""
        self._progress.console.print(_line(record))
        done = sum(other.status != results.INTERRUPTED for other in recorder.records)
        self._progress.update(self._task, completed=done, description=self._description(recorder))

    def _description(self, recorder: Recorder) -> str:
        values = [(record.epochs[-1]["value"], record.number) for record in recorder.records if record.epochs]
        best = "best {:.4f} (#{})".format(*max(values)) if values else "starting"
        epochs = sum(len(record.epochs) for record in recorder.records)
        return f"trials  {best}, {epochs} epochs"


def _line(record: TrialRecord) -> str:
    six = record.six
    values = (
        f"lr {six['learning_rate']:.1e} batch {six['batch_size']:3d} wd {six['weight_decay']:.1e} "
        f"dropout {six['dropout']:.2f} gamma {six['focal_gamma']:.2f} mixup {six['mixup_alpha']:.2f}"
    )
    if record.status == results.FAILED:
        return f"#{record.number:<3d} {values}  [red]failed[/]: {escape(record.reason)}"
    value = record.epochs[-1]["value"]
    return f"#{record.number:<3d} {values}  {value:.4f} after {len(record.epochs)} epochs  {record.status}"


def write_tables(folder: Path, records: list[TrialRecord]) -> None:
    """Write the two tables of a campaign."""
    results.write_table(folder / results.TRIALS_FILE, results.trials_table(records))
    results.write_table(folder / results.CURVES_FILE, results.curves_table(records))


def incumbent_bar(progress: Progress, name: str, epochs: int) -> Callable[[TrialRecord], None]:
    """A bar for the training of the incumbent; returns what to call after each epoch."""
    task = progress.add_task(f"incumbent {name}", total=epochs)

    def show(record: TrialRecord) -> None:
        latest = record.epochs[-1]
        description = f"incumbent {name}  best {latest['value']:.4f} at {latest['best_epoch']}"
        progress.update(task, completed=latest["epoch"], description=description)

    return show


def progress_bar() -> Progress:
    """The bar that all displays of a campaign share."""
    return console.progress_bar()
