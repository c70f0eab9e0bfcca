"""The controller of a running campaign: which trials live, which wait to go on, what is decided, when it ends.

Scheduler and searcher share it; it alone writes to the study. It knows neither Ray nor Optuna.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from core.errors import ConfigError, PresetSearchError
from search.storage.monitor import StorageMonitor
from search.study.asha import Action, decide, rung_epochs
from search.study.study import CampaignStudy
from search.study.trial_record import TrialRecord

EndReason = Literal["trials", "hours", "epochs", "convergence", "stopped", "failure"]


@dataclass(frozen=True)
class Budget:
    """When no more trials are asked for; those that run go on to their own end.

    Attributes:
        trials: how many in all.
        hours: wall-clock hours of all runs of the campaign.
        epochs: epochs of all trials in all.
        convergence: trials that end without improving on the best before them.
    """

    trials: int
    hours: float | None = None
    epochs: int | None = None
    convergence: int | None = None


@dataclass(frozen=True)
class Rules:
    """What decides over trials.

    Attributes:
        max_epochs: full fidelity.
        grace: the first rung.
        reduction: see `search.study.asha`.
        concurrency: most trials at a time.
        attempts: how often a trial's process may die.
        tolerance: relative difference up to which an epoch that is run again counts as the same.
    """

    max_epochs: int
    grace: int
    reduction: int
    concurrency: int
    attempts: int = 4
    tolerance: float = 0.0


@dataclass
class Controller:
    """See the module.

    Attributes:
        study: the record.
        rules: what decides.
        budget: when it ends.
        on_epoch, on_end, on_death: called with the trial after an epoch, after its end, after its process was lost.
        stop_requested: whether someone asks for an early end; called often.
        watch: knows whether the storage answers; None where it is this machine's own disk.
        live: numbers of the trials that run.
        waiting: numbers of those that are to go on.
        end_reason: why no more trials are asked for; None while they are.
        failure: what made it impossible to go on.
    """

    study: CampaignStudy
    rules: Rules
    budget: Budget
    on_epoch: Callable[[TrialRecord], None] = lambda _: None
    on_end: Callable[[TrialRecord], None] = lambda _: None
    on_death: Callable[[TrialRecord], None] = lambda _: None
    stop_requested: Callable[[], bool] = lambda: False
    watch: StorageMonitor | None = None
    live: set[int] = field(default_factory=set)
    waiting: deque[int] = field(default_factory=deque)
    end_reason: EndReason | None = None
    failure: PresetSearchError | None = None

    def __post_init__(self) -> None:
        """Take up what the study holds: open trials wait to go on, rungs know who has been there."""
        rules = self.rules
        self.concurrency = rules.concurrency
        self._refused: dict[int, int] = {}  # how often a trial found no storage since its last epoch
        self._rungs: dict[int, dict[int, float]] = {
            rung: {} for rung in rung_epochs(rules.grace, rules.reduction, rules.max_epochs)
        }
        for trial in self.study.trials.values():
            for rung, seen in self._rungs.items():
                if rung in trial.epochs:
                    seen[trial.number] = trial.epochs[rung].value
            if trial.outcome is None:
                self.waiting.append(trial.number)

    @property
    def rungs(self) -> dict[int, dict[int, float]]:
        """Values of the trials that have reached each rung, by rung and trial."""
        return self._rungs

    def next_trial(self) -> TrialRecord | Literal["wait", "finished"]:
        """The trial to start now: one that has to go on, or a new one; or to wait, or that there are no more."""
        if self.is_over():
            return "finished"
        try:
            if len(self.live) >= self.concurrency or (self.watch is not None and not self.watch.is_available()):
                return "wait"
            if self.waiting:
                trial = self.study.restart(self.waiting.popleft())
            elif self._spent():
                # One that lives may yet have to go on: its process can die.
                return "wait" if self.live else "finished"
            else:
                trial = self.study.ask()
        except PresetSearchError as error:
            self.fail(error)
            return "finished"
        self.live.add(trial.number)
        return trial

    def on_result(self, number: int, row: dict[str, Any]) -> Action:
        """Take in an epoch of a trial, decide, and write both down before answering.

        Args:
            number: the trial's.
            row: what the training reported, with `epoch` and `value`.
        """
        trial = self.study.trials[number]
        self.is_over()
        if trial.outcome is not None or self.failure is not None:
            return "stop"
        epoch, value = int(row["epoch"]), float(row["value"])
        try:
            if epoch in trial.epochs:
                self._compare(trial, epoch, row)
            else:
                self._record(trial, epoch, value, row)
                self.on_epoch(trial)
        except PresetSearchError as error:
            self.fail(error)
            return "stop"
        if trial.outcome is not None:
            self._on_ended(trial)
            return "stop"
        return "stop" if self.end_reason == "stopped" else "continue"

    def _record(self, trial: TrialRecord, epoch: int, value: float, row: dict[str, Any]) -> None:
        decision = None
        end: tuple[Literal["complete", "stopped"], str] | None = None
        if epoch in self._rungs:
            decision = decide(epoch, value, self._rungs[epoch], self.rules.reduction)
            if decision.action == "stop":
                end = ("stopped", decision.reason)
        elif not math.isfinite(value):
            end = ("stopped", f"value is not finite at epoch {epoch}")
        elif epoch >= self.rules.max_epochs:
            end = ("complete", "")
        entry = trial.entry(row, decision.as_row() if decision else None)
        self.study.report(trial.number, epoch, entry, end)
        self._refused.pop(trial.number, None)
        if decision:
            self._rungs[epoch][trial.number] = value

    def _compare(self, trial: TrialRecord, epoch: int, row: dict[str, Any]) -> None:
        """Note where an epoch that is run again comes out otherwise; once is enough for a trial and epoch."""
        for name in ("value", "score", "train_loss"):
            before, now = float(trial.epochs[epoch].row[name]), float(row[name])
            same = math.isclose(now, before, rel_tol=self.rules.tolerance) or (math.isnan(now) and math.isnan(before))
            place = f"trial {trial.number}, epoch {epoch}, {name}: "
            if not same and not any(said.startswith(place) for said in trial.differences):
                self.study.record_difference(trial.number, f"{place}{before:.6g}, run again {now:.6g}")

    def on_failed(self, number: int, reason: str) -> None:
        """End a trial that failed by its own doing: it would fail again."""
        self._fail_trial(number, reason)

    def on_died(self, number: int, reason: str) -> None:
        """A trial's process is gone: let it go on elsewhere, up to a bound."""
        trial = self.study.trials[number]
        self.live.discard(number)
        if trial.outcome is not None:
            return
        try:
            self.study.record_death(number, reason)
        except PresetSearchError as error:
            self.fail(error)
            return
        self.on_death(trial)
        if len(trial.deaths) >= self.rules.attempts:
            self._fail_trial(number, f"its process died {len(trial.deaths)} times: {reason}")
        else:
            self._requeue(number)

    def on_out_of_memory(self, number: int, reason: str) -> None:
        """A trial had no room: from now on fewer at a time; and it goes on."""
        self._make_room()
        self.on_died(number, f"out of memory ({self.concurrency} at a time from then on): {reason}")

    def on_all_died(self, reason: str, no_room: bool) -> None:
        """No trial runs any more: let all that have not ended go on, fewer at a time if they had no room."""
        open_ = [trial.number for trial in self.study.trials.values() if trial.outcome is None]
        if no_room:
            self._make_room()
        for number in open_:
            if number not in self.waiting:
                self.on_died(number, reason)

    def _make_room(self) -> None:
        self.concurrency = max(min(self.concurrency, len(self.live) or self.concurrency) - 1, 1)

    def on_storage_error(self, number: int, reason: str) -> None:
        """What a trial has to keep cannot be written: it goes on when the storage answers again.

        On this machine's own disk it would be waiting for somebody to make room: the campaign ends.
        """
        self._refused[number] = self._refused.get(number, 0) + 1
        if self.watch is None:
            self.fail(ConfigError(reason.rstrip("."), "Make room, then resume the campaign"))
        elif self._refused[number] > self.rules.attempts:  # it answers the driver, and not where the trial runs
            self.fail(ConfigError(reason.rstrip("."), "Let every node in, then resume the campaign"))
        else:
            self.watch.report_failure(reason)
            self._requeue(number)

    def on_unfit_node(self, reason: str) -> None:
        """A machine cannot take part as it is: end it all, for it would spoil whatever is started there."""
        self.fail(ConfigError(reason.rstrip("."), "Then resume the campaign"))

    def _requeue(self, number: int) -> None:
        self.live.discard(number)
        if self.study.trials[number].outcome is None and number not in self.waiting:
            self.waiting.append(number)

    def on_released(self, number: int, attempt: int) -> None:
        """An attempt at a trial, by its attempt_id, runs no more.

        If the trial has not ended, it goes on when the campaign is resumed.
        """
        if self.study.trials[number].attempt_id == attempt:  # otherwise it runs again already
            self.live.discard(number)

    def _fail_trial(self, number: int, reason: str) -> None:
        trial = self.study.trials[number]
        if trial.outcome is None:
            try:
                self.study.end(number, "failed", reason)
            except PresetSearchError as error:
                self.fail(error)
                return
            self._on_ended(trial)

    def _on_ended(self, trial: TrialRecord) -> None:
        self.live.discard(trial.number)
        self.on_end(trial)

    def fail(self, error: PresetSearchError) -> None:
        """End it all: it cannot go on."""
        self.failure, self.end_reason = error, "failure"

    def is_over(self) -> bool:
        """Whether no trial is to be begun any more, even one that waits to go on."""
        if self.end_reason not in ("stopped", "failure") and self.stop_requested():
            self.end_reason = "stopped"
        return self.end_reason in ("stopped", "failure")

    def _spent(self) -> bool:
        """Whether a budget is used up; notes which."""
        budget, trials = self.budget, self.study.trials
        spent: dict[EndReason, bool] = {
            "trials": len(trials) >= budget.trials,
            "hours": budget.hours is not None and self.study.elapsed >= budget.hours * 3600,
            "epochs": budget.epochs is not None
            and sum(len(trial.epochs) for trial in trials.values()) >= budget.epochs,
            "convergence": budget.convergence is not None and self._since_best() >= budget.convergence,
        }
        self.end_reason = next((name for name, used in spent.items() if used), None)
        return self.end_reason is not None

    def _since_best(self) -> int:
        """Trials that have ended since the last one that improved on all before."""
        best, since = -math.inf, 0
        for trial in self.study.ended:
            improved = trial.outcome != "failed" and trial.value > best
            best, since = (trial.value, 0) if improved else (best, since + 1)
        return since
