"""The events of a campaign as plain values, one for each thing that happened: what programs read while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from search.study.trial_record import TrialRecord

SCHEMA = 1
"""Version of the events' form: a field may be added to it, but none is removed or changed."""


class EventReader:
    """Compares the trials of a campaign with those at the last call, and tells what has happened in between.

    Each event has `schema`, `event` and `trial`. `proposed` has `params` and `origin`; `epoch` has `epoch`, `score`,
    `value`, `metrics`, `seconds` and `decision` (`continue`, `pause`, `stop`, or null where there is no rung); `lost`
    has `reason`; `ended` has `outcome`, `reason`, `value` and `epochs`.
    """

    def __init__(self) -> None:
        """Prepare for a campaign of which nothing has been told yet."""
        self._epochs: dict[int, int] = {}
        self._deaths: dict[int, int] = {}
        self._ended: set[int] = set()

    def read(self, trials: Iterable[TrialRecord]) -> list[dict[str, Any]]:
        """Return what has happened since the last call, trial by trial.

        Args:
            trials: all trials of the campaign.
        """
        return [event for trial in trials if trial.number not in self._ended for event in self._of(trial)]

    def _of(self, trial: TrialRecord) -> Iterable[dict[str, Any]]:
        number = trial.number
        if number not in self._epochs:
            self._epochs[number] = self._deaths[number] = 0
            yield _event("proposed", trial, params=dict(trial.params), origin=trial.origin)
        for _, epoch in sorted(trial.epochs.items()):
            if epoch.epoch > self._epochs[number]:
                yield _event(
                    "epoch",
                    trial,
                    epoch=epoch.epoch,
                    score=epoch.score,
                    value=epoch.value,
                    metrics=dict(epoch.metrics),
                    seconds=epoch.seconds,
                    decision=None if epoch.decision is None else epoch.decision.action,
                )
        self._epochs[number] = trial.last_epoch
        for reason in trial.deaths[self._deaths[number] :]:
            yield _event("lost", trial, reason=reason)
        self._deaths[number] = len(trial.deaths)
        if trial.outcome is not None:
            self._ended.add(number)
            ending = {"outcome": trial.outcome, "reason": trial.reason, "value": trial.value}
            yield _event("ended", trial, **ending, epochs=len(trial.epochs))


def _event(event: str, trial: TrialRecord, **details: Any) -> dict[str, Any]:
    return {"schema": SCHEMA, "event": event, "trial": trial.number, **details}
