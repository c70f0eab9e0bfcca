"""What a person wants to see of a search while it runs: how far it is, what is best, what runs and what failed."""

from __future__ import annotations

import heapq
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from core import console
from search.campaign.estimate import RemainingTime, describe_duration
from search.campaign.short_params import describe_params
from search.config import CampaignConfig
from search.study.trial_record import FAILED, STOPPED, TrialRecord

LEADERS = 5
"""Number of trials that are listed as the best."""
_RUNNING = 4
_FAILURES = 2


@dataclass(frozen=True)
class Rung:
    """What became of the trials that reached a rung.

    Attributes:
        epoch: the epoch of the rung.
        reached: number of trials that have reached it.
        stopped: number of those that ended there.
        beyond: number of those that have gone on.
    """

    epoch: int
    reached: int
    stopped: int
    beyond: int


@dataclass(frozen=True)
class LiveView:
    """A search at one instant.

    Attributes:
        name: name of the campaign.
        phase: what it is doing, in words.
        metric: the metric that ranks trials.
        unit: name of the steps of a trial: epochs or cells.
        elapsed: seconds that the search has taken.
        remaining: seconds until the last trial ends, by the faster and by the slower half of the epochs so far; None
            before the first one and after the last.
        outcomes: number of trials by outcome, `running` for those that have none.
        requested: number of trials that are asked for.
        epochs: number of epochs run.
        saved: number of epochs that were not run because trials were stopped.
        rungs: the rungs, the lowest first.
        leaders: the best trials, the best first.
        running: trials that have not ended, those with the most epochs first.
        failures: the last reasons for which a trial failed or lost its process, with the trial's number.
        next_commands: what to do next, as command lines without the name of the program.
    """

    name: str
    phase: str
    metric: str
    unit: str
    elapsed: float
    remaining: tuple[float, float] | None
    outcomes: dict[str, int]
    requested: int
    epochs: int
    saved: int
    rungs: tuple[Rung, ...]
    leaders: tuple[TrialRecord, ...]
    running: tuple[TrialRecord, ...]
    failures: tuple[tuple[int, str], ...]
    next_commands: tuple[str, ...]


def make_live_view(
    config: CampaignConfig,
    trials: Iterable[TrialRecord],
    remaining: RemainingTime,
    elapsed: float,
    phase: str = "running",
    next_commands: Sequence[str] = (),
) -> LiveView:
    """Gather what is shown of a search.

    Args:
        config: the settings of the campaign.
        trials: all trials of the campaign.
        remaining: estimates how long the search still takes; it has counted these trials.
        elapsed: seconds that the search has taken.
        phase: what the campaign is doing, in words.
        next_commands: what to do next, as command lines without the name of the program.
    """
    trials = list(trials)
    scored = [trial for trial in trials if trial.epochs and not math.isnan(trial.value)]
    running = [trial for trial in trials if trial.outcome is None]
    failures = [
        (trial.number, reason)
        for trial in trials
        for reason in (*trial.deaths, *([trial.reason] if trial.outcome == FAILED else []))
    ]
    return LiveView(
        name=config.name,
        phase=phase,
        metric=config.metric,
        unit="epochs" if config.cells is None else "cells",
        elapsed=elapsed,
        remaining=_remaining_range(remaining, trials),
        outcomes=dict(Counter(trial.outcome or "running" for trial in trials)),
        requested=config.trials,
        epochs=sum(len(trial.epochs) for trial in trials),
        saved=sum(config.steps - trial.last_epoch for trial in trials if trial.outcome == STOPPED),
        rungs=tuple(_count_rung(rung, trials) for rung in config.rungs),
        leaders=tuple(heapq.nlargest(LEADERS, scored, key=lambda trial: (trial.value, -trial.number))),
        running=tuple(heapq.nlargest(_RUNNING, running, key=lambda trial: (trial.last_epoch, -trial.number))),
        failures=tuple(failures[-_FAILURES:]),
        next_commands=tuple(next_commands),
    )


def _remaining_range(remaining: RemainingTime, trials: Sequence[TrialRecord]) -> tuple[float, float] | None:
    """Return the remaining time if epochs take as long as at the quartiles of those so far."""
    seconds = remaining.seconds
    if not seconds:
        return None
    # The newest trials tell most of the present speed, and going through all epochs of thousands would take long.
    times = [epoch.seconds for trial in trials[-100:] for epoch in list(trial.epochs.values())]
    mean = statistics.fmean(times) if times else 0.0
    if len(times) < 4 or mean <= 0:
        return seconds, seconds
    low, _, high = statistics.quantiles(times, n=4)
    return seconds * min(low / mean, 1.0), seconds * max(high / mean, 1.0)


def _count_rung(rung: int, trials: Sequence[TrialRecord]) -> Rung:
    reached = [trial for trial in trials if trial.last_epoch >= rung]
    beyond = sum(trial.last_epoch > rung for trial in reached)
    stopped = sum(trial.last_epoch == rung and trial.outcome == STOPPED for trial in reached)
    return Rung(rung, len(reached), stopped, beyond)


def standard_error(trial: TrialRecord) -> float | None:
    """Return the standard error of a trial's score, from its scores on blocks of val's time; None if there are none."""
    blocks = next((epoch.val_blocks for epoch in trial.epochs.values() if epoch.val_blocks is not None), ())
    finite = [score for score in blocks if math.isfinite(score)]
    return statistics.stdev(finite) / math.sqrt(len(finite)) if len(finite) > 1 else None


def render(view: LiveView) -> RenderableType:
    """Return the view for a terminal."""
    parts: list[RenderableType] = [console.plain(line, style) for line, style in describe(view)]
    if view.rungs and any(rung.reached for rung in view.rungs):
        counts = "   ".join(
            f"{view.unit[:-1]} {rung.epoch}: {rung.reached} reached, {rung.stopped} stopped, {rung.beyond} beyond"
            for rung in view.rungs
        )
        parts.append(console.plain(f"rungs  {counts}", "dim"))
    if view.leaders:
        parts.append(_leaders_table(view))
    for trial in view.running:
        scores = [epoch.score for _, epoch in sorted(trial.epochs.items())]
        last = f"{scores[-1]:.4f}" if scores else "starting"
        parts.append(console.plain(f"running #{trial.number:<4d} {console.sparkline(scores)} {last}"))
    for number, reason in view.failures:
        parts.append(Text.assemble(("lost ", "yellow"), console.plain(f"#{number}: {reason}")))
    parts.extend(console.plain(f"next: preset-search {command}", "dim") for command in view.next_commands)
    return Group(*parts)


def describe(view: LiveView) -> list[tuple[str, str]]:
    """Return the view in one or two lines of text, each with its style."""
    ended = sum(count for outcome, count in view.outcomes.items() if outcome != "running")
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(view.outcomes.items())) or "none begun"
    first = f"campaign {view.name}: {view.phase}, {_format_seconds(view.elapsed)} elapsed{_format_remaining(view)}"
    second = f"{ended} of {view.requested} trials ended ({counts}); {view.epochs} {view.unit} run"
    saved = f", {view.saved} saved by stopping early" if view.saved else ""
    return [(first, "bold"), (second + saved, "")]


def _format_remaining(view: LiveView) -> str:
    if view.remaining is None:
        return ""
    low, high = (describe_duration(seconds) for seconds in view.remaining)
    return f", about {low} left" if low == high else f", {low} to {high} left"


def _format_seconds(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def _leaders_table(view: LiveView) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("best", view.metric, "s.e.", view.unit, "status", "hyperparameters"):
        table.add_column(heading, justify="left" if heading in ("status", "hyperparameters") else "right", no_wrap=True)
    for trial in view.leaders:
        error = standard_error(trial)
        cells = (f"#{trial.number}", f"{trial.value:.4f}", "" if error is None else f"{error:.4f}", trial.last_epoch)
        table.add_row(
            *map(console.plain, (*cells, trial.outcome or "running", describe_params(trial.params, trial.not_searched)))
        )
    return table


class LivePanel:
    """Shows a search above its progress bar: a function that returns the newest view, made again once a second."""

    def __init__(self, make_view: Callable[[], LiveView], seconds: float = 1.0) -> None:
        """Prepare to show a search.

        Args:
            make_view: returns the view of the search at this instant; it is called in another thread than the search.
            seconds: how long a view is shown before it is made again.
        """
        self._make_view, self._seconds = make_view, seconds
        self._made_at = -math.inf
        self._shown: RenderableType = ""

    def __call__(self) -> RenderableType:
        """Return what is to be shown now."""
        if time.monotonic() - self._made_at >= self._seconds:
            try:
                self._shown = render(self._make_view())
            except (RuntimeError, KeyError):  # a trial got an epoch while it was read: the next view will have it
                return self._shown
            self._made_at = time.monotonic()
        return self._shown
