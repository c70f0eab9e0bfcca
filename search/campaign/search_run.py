"""One run of a campaign's search: the trials, the incumbent beside them if asked for, and what is done at the end."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import Progress

from core import presets
from core.config import TrainingConfig
from core.console import ProgressBar
from search.campaign import backup
from search.campaign.estimate import RemainingTime, make_estimate
from search.campaign.live_view import LivePanel, LiveView, make_live_view
from search.campaign.plan import CampaignPlan
from search.campaign.progress import Display, add_incumbent_bar
from search.campaign.summary import CampaignSummary, write_summary
from search.cluster.software import installed_software
from search.engine.incumbent import CHECKPOINT_FOLDER, IncumbentTraining
from search.engine.job import TrialJob
from search.engine.protocol import Engine
from search.engine.tasks import POLL_SECONDS, TaskRunner
from search.results import tables
from search.results.folder import ROOT
from search.storage.checkpoints import remove_checkpoints
from search.storage.monitor import StorageMonitor
from search.storage.removal import Submit
from search.study.controller import Budget, Controller, Rules
from search.study.study import CampaignStudy
from search.study.trial_record import COMPLETE, TrialRecord

_LOG = logging.getLogger(__name__)
GPU_TOLERANCE = 1e-3
"""Relative difference up to which an epoch that is run again on a GPU counts as the same."""


class SearchRun:
    """One run of a campaign's search: the trials, and the incumbent's training beside them if it is asked for.

    Attributes:
        controller: the controller, which makes every decision about the trials.
        incumbent: the training of the incumbent; None if the campaign does not ask for it.
        remove: takes a function that removes files from the storage, see `search.storage.removal`.
    """

    def __init__(
        self,
        plan: CampaignPlan,
        study: CampaignStudy,
        engine: Engine,
        dataset: Any,
        owner_token: str | None,
        taken_over: Callable[[], bool],
        bar: ProgressBar,
    ) -> None:
        """Connect controller, incumbent, storage monitor and display.

        Args:
            plan: the planned campaign, from `plan_campaign` or `plan_resume`.
            study: the open study of the campaign.
            engine: the engine that runs the trainings.
            dataset: the engine's handle of the dataset that trials see.
            owner_token: the token that this driver got when it claimed the storage; None where there is one machine.
            taken_over: function that returns whether another driver has taken the campaign over.
            bar: progress bar that is live already.
        """
        config = plan.config
        self._plan, self._study, self._engine, self._dataset = plan, study, engine, dataset
        self._owner_token, self._taken_over = owner_token, taken_over
        self.remove: Submit = lambda _: None
        remaining = _make_estimate(plan, study)
        unit = "epochs" if config.cells is None else "cells"
        self._display = Display(bar, config.trials, study.trials.values(), remaining, unit)
        bar.above = LivePanel(partial(_make_view, plan, study, remaining))
        self._monitor = (
            None
            if config.storage is None
            else StorageMonitor(plan.storage, lambda message: bar.console.print(escape(message)))
        )
        self._tasks = TaskRunner(engine, plan.resources, config.attempts, self._monitor)
        self.incumbent = incumbent = self._incumbent_training(bar) if config.train_incumbent else None
        if incumbent is not None and not incumbent.ended:
            self._tasks.add(incumbent)
        # A trial that is proposed must not wait for the slot of the incumbent.
        concurrency = max(plan.resources.max_concurrent - int(self._incumbent_runs), 1)
        self.controller = Controller(
            study,
            _make_rules(plan, concurrency),
            Budget(config.trials, config.hours, config.epochs, config.convergence),
            on_epoch=self._display.epoch,
            on_end=self._on_end,
            on_death=self._display.lost,
            stop_requested=_stop_requested(plan.folder.stop_request),
            monitor=self._monitor,
        )

    def _incumbent_training(self, bar: Progress) -> IncumbentTraining:
        """Make the training of the incumbent, with a bar of its own."""
        plan, preset = self._plan, self._plan.config.incumbent
        return IncumbentTraining(
            self._job(plan.incumbent),
            self._dataset,
            presets.load_preset(preset).hyperparameters.model_dump(),
            plan.folder,
            add_incumbent_bar(bar, preset, plan.incumbent.trainer.epochs),
            self._study.generation,
            on_end=self._on_incumbent_end,
        )

    def _on_incumbent_end(self) -> None:
        """Give the incumbent's slot to a trial, and remove the checkpoints."""
        self.controller.concurrency += int(self._plan.resources.max_concurrent > 1)
        self.remove(partial(remove_checkpoints, self._plan.storage.subfolder(CHECKPOINT_FOLDER)))

    @property
    def _incumbent_runs(self) -> bool:
        """Whether the training of the incumbent is asked for, and has not ended."""
        return self.incumbent is not None and not self.incumbent.ended

    def storage_is_failing(self) -> bool:
        """Return whether the storage is known to be unavailable."""
        return self._monitor is not None and self._monitor.is_failing

    def _trials(self) -> list[TrialRecord]:
        return list(self._study.trials.values())

    def _job(self, base: TrainingConfig) -> TrialJob:
        """Make the job that training processes are given, for the recipe of the trials or that of the incumbent."""
        plan, config = self._plan, self._plan.config
        return TrialJob(
            base,
            plan.resources,
            plan.storage,
            config.rungs,
            installed_software(),
            self._owner_token,
            plan.checked_node_ids,
            plan.cells,
        )

    def run(self, scratch: Path) -> None:
        """Run the trials and the incumbent until both have ended, or Ctrl-C ends them.

        Args:
            scratch: folder for the engine's own files.
        """
        plan = self._plan
        with suppress(KeyboardInterrupt):  # a second one, or one while the engine did not run
            self._step()
            capacity = plan.resources.capacity - int(self._incumbent_runs)  # the incumbent takes one slot
            remaining = len(self.controller.waiting) + plan.config.trials - len(self._trials())
            starting = min(capacity, remaining)
            self._engine.run_trials(self._job(plan.base), self._dataset, self.controller, scratch, self._step, starting)
            if self.controller.end_reason not in (None, "stopped", "failure"):
                self._wait_for_incumbent()

    def _step(self) -> None:
        """Do what is to be done beside the trials: poll the incumbent's training, and notice a takeover."""
        self._tasks.poll()
        if self._taken_over():
            self.controller.fail(backup.taken_over_error(self._plan.config.name))

    def _wait_for_incumbent(self) -> None:
        """Wait until the incumbent's training has ended, unless someone ends the run."""
        while self._incumbent_runs and not self.controller.stop_requested() and not self._taken_over():
            self._tasks.poll(POLL_SECONDS)
        if self._taken_over():
            self.controller.fail(backup.taken_over_error(self._plan.config.name))
        elif self._incumbent_runs:
            self.controller.end_reason = "stopped"

    def _on_end(self, trial: TrialRecord) -> None:
        """Show the end of a trial, and remove the files that nobody needs any more.

        Of a complete trial the tables stay: they are joined when the run ends, also when a later run ends.
        """
        self._display.end(trial)
        files = self._plan.storage.subfolder(str(trial.number))
        if trial.outcome == COMPLETE:
            self.remove(partial(remove_checkpoints, files))
        else:
            self.remove(partial(self._plan.storage.remove_folder, str(trial.number)))

    def conclude(self, started: datetime) -> CampaignSummary:
        """Write the tables and the summary of the search.

        Args:
            started: when this run started.

        Returns:
            the results of the search.

        Raises:
            KeyboardInterrupt: the run was ended before any trial had an epoch.
            PresetSearchError: an error has ended the run.
        """
        trials = self._trials()
        tables.write_tables(self._plan.folder, trials)
        _LOG.info("run ended", extra={"end_reason": self.controller.end_reason, "trials": len(trials)})
        if self.controller.failure is not None:
            raise self.controller.failure
        if not any(trial.epochs or trial.outcome for trial in trials):
            raise KeyboardInterrupt
        incumbent = None if self.incumbent is None else self.incumbent.record
        summarize = partial(write_summary, self._plan, self.controller, incumbent, started)
        if self._monitor is None:
            return summarize()
        return self._monitor.retry_until_available(
            summarize, lambda: self.controller.stop_requested() or self._taken_over()
        )


def _make_estimate(plan: CampaignPlan, study: CampaignStudy) -> RemainingTime:
    """Make the estimate of the time that a search still takes."""
    hours = plan.config.hours
    return make_estimate(plan, None if hours is None else lambda: hours * 3600 - study.elapsed)


def _make_view(plan: CampaignPlan, study: CampaignStudy, remaining: RemainingTime) -> LiveView:
    """Gather what is shown of a search that this process runs."""
    name, root = plan.config.name, plan.folder.path.parent
    flag = "" if root == ROOT else f" --results {shlex.quote(str(root))}"
    trials = list(study.trials.values())
    return make_live_view(plan.config, trials, remaining, study.elapsed, next_commands=[f"stop {name}{flag}"])


def _make_rules(plan: CampaignPlan, concurrency: int) -> Rules:
    """Return the rules by which the trials of a campaign are stopped and run again."""
    config = plan.config
    return Rules(
        max_epochs=config.steps,
        grace=config.grace if config.cells is None else 1,
        reduction=config.reduction,
        concurrency=concurrency,
        attempts=config.attempts,
        tolerance=GPU_TOLERANCE if plan.resources.device == "cuda" else 0.0,
        variant=config.asha,
        averages=config.cells is not None,
    )


def _stop_requested(path: Path) -> Callable[[], bool]:
    """Return a function that returns whether the file that asks for an end exists, checked twice a second at most."""
    last_check = -POLL_SECONDS

    def check() -> bool:
        nonlocal last_check
        now = time.monotonic()
        if now - last_check < POLL_SECONDS:
            return False
        last_check = now
        return path.exists()

    return check
