"""Simulates a campaign of any search: virtual workers train what it asks for, epoch by epoch.

A campaign ends when its workers have trained a number of epochs, whatever is running then. What a search has found is
judged alike for all of them: of the trials that were trained for most epochs, the one with the best value.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from search.engine.simulated import LearningCurves, SimulatedWorkers
from search.study.space import Choice, Dimension, IntRange, PowerRange, Range
from search.study.trial_record import EpochRecord, TrialAssignment


@dataclass(frozen=True)
class Trial:
    """A training that a search asks for.

    Attributes:
        number: number of the trial; a trial that was stopped may be asked for again, and then goes on.
        params: its hyperparameters, by name.
        last_epoch: the last epoch that has been trained already; 0 for none.
    """

    number: int
    params: Mapping[str, Any]
    last_epoch: int = 0


class Search(Protocol):
    """A search of any library, whose trials may be stopped after any epoch."""

    def ask(self) -> Trial | None:
        """Return the trial to start or to continue now; None if none can start before another one has ended."""

    def tell(self, trial: Trial, record: EpochRecord) -> bool:
        """Take the report of an epoch, and return whether the trial goes on.

        Args:
            trial: the trial, as `ask` returned it.
            record: the epoch; its `value` is the best score up to this epoch, and higher is better.
        """


def plain_space(space: Mapping[str, Dimension]) -> dict[str, Range | IntRange | Choice]:
    """Return a space as other libraries know it: powers of 2 are choices."""
    return {
        name: Choice(values=of_name.values) if isinstance(of_name, PowerRange) else of_name
        for name, of_name in space.items()
    }


@dataclass(frozen=True)
class Request:
    """What a library asks for that decides on epochs in advance.

    Attributes:
        params: hyperparameters, by name.
        epochs: how many epochs they are to be trained for in all.
        tell: takes the report of the last of these epochs.
    """

    params: Mapping[str, Any]
    epochs: int
    tell: Callable[[EpochRecord], None]


class BudgetSearch:
    """A search that makes requests.

    Hyperparameters that come again with more epochs go on where they stopped, as in our promotion variant of ASHA.
    Those that come again while they are trained, or with no more epochs, are trained anew.
    """

    def __init__(self, request: Callable[[], Request]) -> None:
        """Prepare a campaign.

        Args:
            request: returns the next request.
        """
        self._request = request
        self._requests: dict[int, Request] = {}  # by number of the trial
        self._trained: dict[tuple[Any, ...], tuple[int, int]] = {}  # number and epochs of what is not running

    def ask(self) -> Trial:
        """Return the trial to start or to continue, see `Search`."""
        request = self._request()
        number, epochs = self._trained.pop(tuple(request.params.values()), (len(self._requests), 0))
        if epochs >= request.epochs:
            number, epochs = len(self._requests), 0
        self._requests[number] = request
        return Trial(number, request.params, epochs)

    def tell(self, trial: Trial, record: EpochRecord) -> bool:
        """Pass the value on when the request's epochs have been trained, see `Search`."""
        request = self._requests[trial.number]
        if record.epoch < request.epochs:
            return True
        self._trained[tuple(request.params.values())] = trial.number, request.epochs
        request.tell(record)
        return False


@dataclass(frozen=True, order=True)
class _Event:
    """The end of an epoch of a trial."""

    time: float
    order: int
    trial: Trial = field(compare=False)
    record: EpochRecord = field(compare=False)


def run_campaign(
    curves: LearningCurves, search: Search, workers: SimulatedWorkers, budgets: Sequence[int]
) -> list[Mapping[str, Any] | None]:
    """Simulate one campaign, and return the hyperparameters that it has found when each budget is spent.

    Args:
        curves: what trainings report.
        search: the search.
        workers: the workers, none of which is lost.
        budgets: numbers of epochs, over all trials, in ascending order; the campaign ends with the last of them.

    Returns:
        the hyperparameters by name for each budget; None where no epoch had been trained, or all values were NaN.

    Raises:
        RuntimeError: the search asks for no trial although none is running.
    """
    events: list[_Event] = []
    order, now, epochs = count(), 0.0, 0
    reached: dict[int, tuple[int, float, Mapping[str, Any]]] = {}
    picks: list[Mapping[str, Any] | None] = []

    def start(trial: Trial, last_epoch: int, delay: float) -> None:
        record = curves.epoch(TrialAssignment(trial.number, 0, last_epoch, trial.params), last_epoch + 1)
        heapq.heappush(events, _Event(now + delay + record.seconds, next(order), trial, record))

    while len(picks) < len(budgets):
        while len(events) < workers.count and (asked := search.ask()) is not None:
            start(asked, asked.last_epoch, workers.start_seconds)
        if not events:
            raise RuntimeError("The search asks for no trial although none is running.")
        event = heapq.heappop(events)
        trial, record, now, epochs = event.trial, event.record, event.time, epochs + 1
        reached[trial.number] = (record.epoch, record.value, trial.params)
        if search.tell(trial, record):
            start(trial, record.epoch, 0.0)
        while len(picks) < len(budgets) and epochs >= budgets[len(picks)]:
            picks.append(_best(reached.values()))
    return picks


def _best(reached: Iterable[tuple[int, float, Mapping[str, Any]]]) -> Mapping[str, Any] | None:
    """Return the hyperparameters of the best of the trials that were trained for most epochs, of equal ones the first.

    Args:
        reached: number of epochs, value and hyperparameters of each trial.
    """
    finite = [entry for entry in reached if math.isfinite(entry[1])]
    return max(finite, key=lambda entry: entry[:2])[2] if finite else None
