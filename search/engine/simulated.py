"""An engine in virtual time: trainings are learning curves that are known, so a campaign of days takes seconds.

It runs the same controller, study and rungs as a real campaign. A trial's next epoch is an event at the time when its
worker would have trained it; nothing waits. Workers can be lost, and take time to start, as machines do.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from search.study.controller import Controller
from search.study.retries import TrainingFailure
from search.study.trial_record import EpochRecord, TrialAssignment, TrialRecord


class LearningCurves(Protocol):
    """Tells what trainings would report, without training."""

    def epoch(self, trial: TrialAssignment, epoch: int) -> EpochRecord:
        """Return what a trial reports of an epoch, with the seconds that it takes.

        Args:
            trial: number and hyperparameters of the trial; the same trial always reports the same.
            epoch: number of the epoch, counted from 1.
        """


@dataclass(frozen=True)
class SimulatedWorkers:
    """The workers of a simulated campaign.

    Attributes:
        count: number of trials that run at a time.
        start_seconds: time from the decision to start a trial to the begin of its first epoch.
        lost_every_hours: mean time between two losses of one worker; infinity if none is lost.
        replacement_seconds: time until a lost worker is replaced.
    """

    count: int
    start_seconds: float = 0.0
    lost_every_hours: float = math.inf
    replacement_seconds: float = 120.0


@dataclass(frozen=True, order=True)
class _Event:
    """Something that happens to one attempt at a trial: the end of an epoch, or the loss of its worker."""

    time: float
    order: int
    number: int = field(compare=False)
    attempt_id: int = field(compare=False)
    report: EpochRecord | TrainingFailure = field(compare=False)


class SimulatedEngine:
    """Runs trials in virtual time.

    Attributes:
        now: virtual seconds since the start.
        busy_seconds: seconds that workers have trained, over all of them.
        losses: number of workers that were lost while they trained.
    """

    def __init__(self, curves: LearningCurves, workers: SimulatedWorkers, seed: int = 0) -> None:
        """Prepare the simulation.

        Args:
            curves: what trainings report.
            workers: the workers.
            seed: seed of the losses of workers.
        """
        self.now = 0.0
        self.busy_seconds = 0.0
        self.losses = 0
        self._curves, self._workers = curves, workers
        self._rng = np.random.default_rng(seed)
        self._order = count()

    def clock(self) -> float:
        """Return the virtual time in seconds, as the clock of a study."""
        return self.now

    def session(self) -> AbstractContextManager[None]:
        """Do nothing: nothing has to be started."""
        return nullcontext()

    def run_trials(
        self,
        job: Any,
        dataset: Any,
        controller: Controller,
        scratch: Path,
        on_step: Callable[[], None],
        starting: int,
    ) -> None:
        """Run the trials, see `Engine.run_trials`; nothing is trained, so job, dataset and folder are not used."""
        events: list[_Event] = []
        replacements: list[float] = []  # when each lost worker is replaced
        while True:
            on_step()
            while replacements and replacements[0] <= self.now:
                heapq.heappop(replacements)
            free = self._workers.count - len(events) - len(replacements)
            trial: TrialRecord | str = "wait"
            while free > 0 and isinstance(trial := controller.next_trial(), TrialRecord):
                heapq.heappush(events, self._next_event(trial, self._workers.start_seconds))
                free -= 1
            if replacements and (not events or replacements[0] < events[0].time):
                self.now = replacements[0]
                continue
            if not events:
                if trial == "finished":
                    return
                raise RuntimeError("no trial runs, and none can be started")
            event = heapq.heappop(events)
            self.now = event.time
            following = self._take(event, controller, replacements)
            if following is not None:
                heapq.heappush(events, following)

    def _take(self, event: _Event, controller: Controller, replacements: list[float]) -> _Event | None:
        """Report an event to the controller; return the next one of the same attempt, or None if it has ended."""
        if isinstance(event.report, TrainingFailure):
            self.losses += 1
            heapq.heappush(replacements, self.now + self._workers.replacement_seconds)
        action = controller.on_report(event.number, event.report)
        if action == "continue":
            return self._next_event(controller.study.trials[event.number], 0.0)
        controller.on_released(event.number, event.attempt_id)
        return None

    def _next_event(self, trial: TrialRecord, delay: float) -> _Event:
        """Return the event of a trial's next epoch, which begins after a delay in seconds."""
        record = self._curves.epoch(trial.assignment, trial.last_epoch + 1)
        seconds, lost_after = delay + record.seconds, math.inf
        if math.isfinite(self._workers.lost_every_hours):
            lost_after = float(self._rng.exponential(self._workers.lost_every_hours * 3600))
        report: EpochRecord | TrainingFailure = record
        if lost_after < seconds:
            seconds, report = lost_after, TrainingFailure("lost node", "the worker was lost")
        self.busy_seconds += seconds
        return _Event(self.now + seconds, next(self._order), trial.number, trial.attempt_id, report)
