"""The controller of a running campaign: it decides which trial starts next, which is stopped, and when the run ends.

An engine asks it for trials and passes on what their processes report. While trials run, it alone writes to the study,
and it does so before it answers. It knows neither Ray nor Optuna.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from core.errors import PresetSearchError
from search.storage.monitor import StorageMonitor
from search.study.asha import Action, rung_epochs
from search.study.retries import RetryPolicy, TrainingFailure
from search.study.rungs import Rungs
from search.study.settings import AshaVariant
from search.study.study import CampaignStudy
from search.study.trial_record import EpochRecord, TrialRecord

EndReason = Literal["trials", "hours", "epochs", "convergence", "stopped", "failure"]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Budget:
    """The limits at which no more trials are started; trials that run then are still completed.

    Attributes:
        trials: total number of trials.
        hours: total wall-clock hours of all runs of the campaign; None for no limit.
        epochs: total number of epochs of all trials; None for no limit.
        convergence: number of trials in a row that end without improving on the best before them; None for no limit.
    """

    trials: int
    hours: float | None = None
    epochs: int | None = None
    convergence: int | None = None


@dataclass(frozen=True)
class Rules:
    """The rules by which trials are stopped and run again.

    Attributes:
        max_epochs: full fidelity, in epochs.
        grace: the first rung, in epochs.
        reduction: ASHA's reduction factor, see `search.study.asha`.
        concurrency: how many trials may run at a time.
        attempts: a trial is given up at this death in a row of its process, see `RetryPolicy.attempts`.
        tolerance: relative difference up to which an epoch that is run again counts as the same.
        variant: ASHA's variant, see `search.study.rungs`.
        averages: whether a trial's value is the mean score of its epochs, which are cells then, and not the best.
    """

    max_epochs: int
    grace: int
    reduction: int
    concurrency: int
    attempts: int = 4
    tolerance: float = 0.0
    variant: AshaVariant = "stopping"
    averages: bool = False


@dataclass
class Controller:
    """Decides which trials of a campaign start, continue and stop during one run.

    Attributes:
        study: the record of all trials, backed by the journal.
        rules: how trials are stopped and run again.
        budget: when no more trials are started.
        on_epoch: called with the trial after each new epoch.
        on_end: called with the trial after it has ended.
        on_death: called with the trial after its process was lost.
        stop_requested: returns whether a user asked for an early end; called often.
        monitor: tells whether a remote storage is available; None where files go to this machine's own disk.
        running: numbers of the trials that are running.
        waiting: numbers of the trials that wait to be started again.
        end_reason: why no more trials are started; None while more may be.
        failure: the error that made it impossible to continue.
    """

    study: CampaignStudy
    rules: Rules
    budget: Budget
    on_epoch: Callable[[TrialRecord], None] = lambda _: None
    on_end: Callable[[TrialRecord], None] = lambda _: None
    on_death: Callable[[TrialRecord], None] = lambda _: None
    stop_requested: Callable[[], bool] = lambda: False
    monitor: StorageMonitor | None = None
    running: set[int] = field(default_factory=set)
    waiting: deque[int] = field(default_factory=deque)
    end_reason: EndReason | None = None
    failure: PresetSearchError | None = None

    def __post_init__(self) -> None:
        """Restore the state of the study: queue its open trials, and fill the rungs with the recorded values."""
        rules = self.rules
        self.concurrency = rules.concurrency
        self._storage_refusals: dict[int, int] = {}  # failures of the storage in a row, by trial
        self._deaths: dict[int, int] = {}  # deaths since the last new epoch, by trial
        self._memory_slots: dict[int, int] = {}  # by how much each trial has lowered the concurrency
        self._epochs = 0  # of all trials
        self._best, self._since_best = -math.inf, 0  # best value of the trials counted, and those counted since
        self._counted: set[int] = set()  # trials that have ended, or been paused
        epochs = rung_epochs(rules.grace, rules.reduction, rules.max_epochs)
        self._rungs = Rungs(epochs, rules.reduction, rules.variant, self.study.trials.values())
        for trial in self.study.trials.values():
            self._epochs += len(trial.epochs)
            if trial.outcome is None and trial.number not in self._rungs.paused:
                self.waiting.append(trial.number)
        for trial in [*self.study.ended, *(self.study.trials[number] for number in self._rungs.paused)]:
            self._count_ended(trial)

    @property
    def _retry_policy(self) -> RetryPolicy:
        return RetryPolicy(self.rules.attempts, has_remote_storage=self.monitor is not None)

    @property
    def rungs(self) -> dict[int, dict[int, float]]:
        """Values of the trials that have reached each rung, by rung and trial."""
        return self._rungs.values

    def next_trial(self) -> TrialRecord | Literal["wait", "finished"]:
        """Return the trial to start now; waiting trials come first, then those that a rung promotes.

        Returns:
            The trial; `wait` if none can start yet; `finished` if none starts any more.
        """
        self.check_stop_request()
        if self.is_over:
            return "finished"
        try:
            if len(self.running) >= self.concurrency or not (self.monitor is None or self.monitor.is_available()):
                return "wait"
            if self.waiting:
                trial = self.study.restart(self.waiting.popleft())
            elif (promoted := self._promote()) is not None:
                trial = self.study.restart(promoted, self.study.trials[promoted].last_epoch)
            elif self.end_reason is not None:
                # The process of a running trial can die, and then the trial has to be started again.
                if not self.running:
                    self._end_paused()
                return "wait" if self.running else "finished"
            else:
                trial = self.study.ask()
        except PresetSearchError as error:
            self.fail(error)
            return "finished"
        self.running.add(trial.number)
        _LOG.info("trial started", extra={"trial": trial.number, "attempt": trial.attempt_id, "params": trial.params})
        return trial

    def _promote(self) -> int | None:
        """Note whether a budget is spent, and return the number of the paused trial that goes on next; None if none is.

        When the budget of trials is spent, trials are promoted until none may go on any more. When another one is, only
        until one has reached full fidelity.
        """
        self.end_reason = self._spent_budget()
        if self.end_reason not in (None, "trials") and any(trial.outcome == "complete" for trial in self.study.ended):
            return None
        return self._rungs.promote(at_end=self.end_reason is not None and not self.running)

    def _end_paused(self) -> None:
        """End the paused trials, none of which will go on."""
        for number, reason in self._rungs.reasons().items():
            self.study.end(number, "stopped", reason)
            self._on_ended(self.study.trials[number])
        self._rungs.paused.clear()

    def on_report(self, number: int, report: EpochRecord | TrainingFailure) -> Action:
        """Record what the process of a trial reports, and return whether it is to continue with the trial.

        Args:
            number: number of the trial.
            report: an epoch, or why there is none.
        """
        if isinstance(report, EpochRecord):
            return self._on_epoch_report(number, report)
        self.on_failure(number, report)
        return "stop"

    def _on_epoch_report(self, number: int, epoch: EpochRecord) -> Action:
        trial = self.study.trials[number]
        if self.rules.averages:
            epoch = trial.averaged(epoch)
        self.check_stop_request()
        if trial.outcome is not None or self.failure is not None:
            return "stop"
        try:
            if epoch.epoch in trial.epochs:
                self._compare(trial, epoch)
            else:
                self._record(trial, epoch)
                self.on_epoch(trial)
        except PresetSearchError as error:
            self.fail(error)
            return "stop"
        if trial.outcome is not None:
            self._on_ended(trial)
            return "stop"
        if number in self._rungs.paused:
            self._count_ended(trial)
            return "pause"
        return "stop" if self.end_reason == "stopped" else "continue"

    def _record(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Decide on a new epoch, and write the epoch and the decision to the study."""
        number, value = epoch.epoch, epoch.value
        is_last = number >= self.rules.max_epochs and math.isfinite(value)
        decision = None if is_last else self._rungs.decide(trial, epoch)
        end: tuple[Literal["complete", "stopped"], str] | None = None
        if is_last:
            end = ("complete", "")
        elif decision is not None and decision.action == "stop":
            end = ("stopped", decision.reason)
        elif not math.isfinite(value):
            end = ("stopped", f"value is not finite at epoch {number}")
        recorded = epoch if self.rules.averages else trial.recordable(epoch)
        self.study.report(trial.number, replace(recorded, decision=decision), end)
        self._storage_refusals.pop(trial.number, None)
        self._deaths.pop(trial.number, None)
        self._epochs += 1
        self._rungs.record(trial.number, epoch, decision)
        _LOG.debug("epoch", extra={"trial": trial.number, "epoch": number, "value": value, "score": epoch.score})

    def _compare(self, trial: TrialRecord, epoch: EpochRecord) -> None:
        """Record where an epoch that was run again gives other figures, once for each figure of an epoch."""
        recorded = trial.epochs[epoch.epoch]
        for name in ("value", "score", "train_loss"):
            before, now = float(getattr(recorded, name)), float(getattr(epoch, name))
            same = math.isclose(now, before, rel_tol=self.rules.tolerance) or (math.isnan(now) and math.isnan(before))
            place = f"trial {trial.number}, epoch {epoch.epoch}, {name}: "
            if not same and not any(message.startswith(place) for message in trial.differences):
                self.study.record_difference(trial.number, f"{place}{before:.6g}, run again {now:.6g}")

    def on_failure(self, number: int, failure: TrainingFailure) -> None:
        """Handle the failure of a trial's process as the retry policy says.

        Args:
            number: number of the trial.
            failure: why the process reports no epoch; it may be gone.
        """
        trial = self.study.trials[number]
        if number in self._rungs.paused:  # it has no more use for its process
            self.running.discard(number)
            return
        if failure.cause in ("death", "out of memory", "lost node"):
            failure = self._record_death(trial, failure)
        elif failure.cause == "storage":
            self._storage_refusals[number] = self._storage_refusals.get(number, 0) + 1
        if trial.outcome is not None:
            self.running.discard(number)
            return
        deaths = self._deaths.get(number, 0)
        consequence = self._retry_policy.decide(failure.cause, deaths, self._storage_refusals.get(number, 0))
        details = {"cause": failure.cause, "reason": failure.reason, "deaths": deaths, "consequence": consequence}
        _LOG.warning("trial process failed", extra={"trial": number, **details})
        match consequence:
            case "retry":
                if failure.cause == "storage" and self.monitor is not None:
                    self.monitor.report_failure(failure.reason)
                self._requeue(number)
            case "give up":
                prefix = f"its process died {deaths} times: " if failure.cause != "failure" else ""
                self._fail_trial(number, prefix + failure.reason)
                self.concurrency += self._memory_slots.pop(number, 0)
            case "end campaign":
                self.fail(self._retry_policy.campaign_error(failure))

    def _record_death(self, trial: TrialRecord, failure: TrainingFailure) -> TrainingFailure:
        """Record a death; if memory ran out, allow fewer concurrent trials from then on."""
        if failure.cause != "lost node":
            self._deaths[trial.number] = self._deaths.get(trial.number, 0) + 1
        if failure.cause == "out of memory":
            lowered_by = self._lower_concurrency()
            self._memory_slots[trial.number] = self._memory_slots.get(trial.number, 0) + lowered_by
            reason = f"out of memory ({self.concurrency} at a time from then on): {failure.reason}"
            failure = replace(failure, reason=reason)
        if trial.outcome is None:
            try:
                self.study.record_death(trial.number, failure.reason)
            except PresetSearchError as error:
                self.fail(error)
            else:
                self.on_death(trial)
        return failure

    def on_all_lost(self, failure: TrainingFailure, culprit: int | None = None) -> None:
        """Handle the loss of every process: queue all open trials, and charge the loss to no more than one of them.

        Without a culprit the loss is charged to the trial that ran alone. If several ran, it is charged to none, but
        fewer run at a time from then on, so that the next losses find the culprit.

        Args:
            failure: why the processes were lost.
            culprit: number of the trial whose process caused the loss; None if that is not known.
        """
        self.running.difference_update(self._rungs.paused)
        lost = [trial.number for trial in self.study.trials.values() if trial.outcome is None]
        lost = [number for number in lost if number not in self.waiting and number not in self._rungs.paused]
        if culprit is None and len(lost) == 1:
            culprit = lost[0]
        if culprit is not None and culprit in lost:
            self.on_failure(culprit, failure)
        else:
            self._lower_concurrency()
            _LOG.warning("all processes lost", extra={"reason": failure.reason, "concurrency": self.concurrency})
        for number in lost:
            if number != culprit:
                self._requeue(number)
        if culprit is not None and culprit in self.waiting:  # the others go on first
            self.waiting.remove(culprit)
            self.waiting.append(culprit)

    def _lower_concurrency(self) -> int:
        """Allow one trial fewer than are running now, but at least one; return by how much that is less."""
        before = self.concurrency
        running = len(self.running) or before
        self.concurrency = max(min(before, running) - 1, 1)
        return before - self.concurrency

    def _requeue(self, number: int) -> None:
        self.running.discard(number)
        if self.study.trials[number].outcome is None and number not in self.waiting:
            self.waiting.append(number)

    def on_released(self, number: int, attempt_id: int) -> None:
        """Handle that an attempt at a trial has no process any more.

        If the trial has neither ended nor been queued again (see `on_failure`), it is started again when the campaign
        is resumed.

        Args:
            number: number of the trial.
            attempt_id: fencing token of the attempt; a later attempt may be running already.
        """
        if self.study.trials[number].attempt_id == attempt_id:
            self.running.discard(number)

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
        self.running.discard(trial.number)
        self._count_ended(trial)
        details = {"trial": trial.number, "status": trial.outcome, "value": trial.value, "reason": trial.reason}
        _LOG.info("trial ended", extra=details)
        self.on_end(trial)

    def fail(self, error: PresetSearchError) -> None:
        """End the run of the campaign with an error."""
        _LOG.error("run failed", extra={"error": str(error)})
        self.failure, self.end_reason = error, "failure"

    @property
    def is_over(self) -> bool:
        """Whether no trial is started any more, not even a waiting one."""
        return self.end_reason in ("stopped", "failure")

    def check_stop_request(self) -> None:
        """Set `end_reason` if someone asks the campaign to stop."""
        if not self.is_over and self.stop_requested():
            _LOG.info("stop requested")
            self.end_reason = "stopped"

    def _spent_budget(self) -> EndReason | None:
        """Return the name of a budget that is used up; None if none is."""
        budget = self.budget
        spent: dict[EndReason, bool] = {
            "trials": len(self.study.trials) >= budget.trials,
            "hours": budget.hours is not None and self.study.elapsed >= budget.hours * 3600,
            "epochs": budget.epochs is not None and self._epochs >= budget.epochs,
            "convergence": budget.convergence is not None and self._since_best >= budget.convergence,
        }
        return next((name for name, is_spent in spent.items() if is_spent), None)

    def _count_ended(self, trial: TrialRecord) -> None:
        """Count the trials that ended, or paused for the first time, since the last that improved on all before."""
        if trial.outcome != "failed" and trial.value > self._best:
            self._best, self._since_best = trial.value, 0
        elif trial.number not in self._counted:
            self._since_best += 1
        self._counted.add(trial.number)
