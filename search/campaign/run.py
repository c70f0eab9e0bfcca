"""Runs a campaign, or goes on with one: searches with Ray Tune, trains the incumbent, writes what came of it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from rich.markup import escape

from core import console, presets
from core.config import TrainingConfig
from core.errors import ConfigError
from core.files import read_yaml, to_yaml, write_text
from search.campaign import backup, progress
from search.campaign.plan import CampaignPlan, campaign_yaml
from search.campaign.progress import Display
from search.campaign.summary import CampaignSummary, write_summary
from search.cluster.preflight import check_cluster
from search.cluster.session import ray_session
from search.cluster.software import software
from search.config import settings_of
from search.engine.incumbent import IncumbentTraining
from search.engine.job import TrialJob
from search.engine.trainable import TrainingTrial
from search.engine.tuner import run_trials
from search.results import ledger, tables
from search.results.folder import (
    CONFIG_FILE,
    INCUMBENT_FILE,
    JOURNAL_FILE,
    MANIFEST_FILE,
    RESTORED_FILE,
    STOP_FILE,
    VERDICT_FILE,
)
from search.results.ledger import LEDGER_FILE
from search.storage.filesystem import Storage, StorageError
from search.storage.monitor import StorageMonitor
from search.study import study
from search.study.asha import rung_epochs
from search.study.controller import Budget, Controller, Rules
from search.study.study import CampaignStudy
from search.study.trial_record import COMPLETE, TrialRecord

POLL_SECONDS = 0.5
GPU_TOLERANCE = 1e-3
"""Relative difference up to which an epoch that is run again on a GPU counts as the same."""


def run_campaign(plan: CampaignPlan) -> CampaignSummary:
    """Run a plan campaign. Ctrl-C ends it early; what had been learned is kept, and `resume` goes on.

    Raises:
        ConfigError: another process took the name, or the folder cannot be written.
    """
    started = datetime.now(UTC)
    folder = plan.folder
    content = campaign_yaml(plan, started)
    kept = plan.backup_storage
    if kept is not None:
        backup.check_name_free(kept, plan.config.name)
    _create_folder(folder)
    owner_token = None
    try:
        owner_token = plan.storage.claim() if plan.is_shared else None
        record = CampaignStudy(folder / JOURNAL_FILE, settings_of(plan.config))
        try:
            for name, known in plan.earlier:
                record.tell_earlier(name, known)
            record.ask_first(plan.asked_first)
            write_text(folder / CONFIG_FILE, content)
            return _run_search(plan, record, started, owner_token)
        finally:
            record.close()
    except BaseException as error:
        if not _has_begun(folder, by_hand=isinstance(error, KeyboardInterrupt)):  # leave the name free
            shutil.rmtree(folder, ignore_errors=True)
            if kept is not None:
                with suppress(StorageError):
                    backup.clear_backup(kept, owner_token)
        raise


def resume_campaign(plan: CampaignPlan) -> CampaignSummary:
    """Go on with a campaign where its journal ends.

    Raises:
        ConfigError: another process runs it, its journal is damaged, or it has its verdict already.
    """
    started = datetime.now(UTC)
    resolved = read_yaml(plan.folder / CONFIG_FILE)["resolved"]
    if (plan.folder / VERDICT_FILE).exists() or ledger.has_read_test(
        plan.folder.parent / LEDGER_FILE, plan.config.name, str(resolved["started"])
    ):
        raise ConfigError(
            f"Campaign {plan.config.name} has read its test span: what is searched now would not be what was read",
            "Start a new campaign; warm_start lets it begin with what this one found",
        )
    here = plan.resources.device
    if plan.config.device == "auto" and (before := resolved.get("device", here)) != here:
        raise ConfigError(
            f"Campaign {plan.config.name} trains on {before}, and here is {here}: its trials could not be compared",
            f"Resume it where there is {before}; or say device: {here} in its campaign.yaml, if they may be compared",
        )
    if (restored := plan.folder / RESTORED_FILE).exists():
        study.take_over(plan.folder / JOURNAL_FILE, plan.config.name)
        restored.unlink()
    record = CampaignStudy(plan.folder / JOURNAL_FILE, settings_of(plan.config), must_exist=True)
    try:
        (plan.folder / STOP_FILE).unlink(missing_ok=True)  # left by a run that was killed
        trials = list(record.trials.values())
        if plan.config.trials < len(trials):
            raise ConfigError(f"The campaign has asked for {len(trials)} trials already", "Ask for more --trials")
        tables.check_not_behind(plan.folder, trials)
        tables.check_parts(plan.folder, plan.storage, trials)
        (plan.folder / MANIFEST_FILE).unlink(missing_ok=True)
        write_text(plan.folder / CONFIG_FILE, _extended(plan))
        return _run_search(plan, record, started, plan.storage.claim() if plan.is_shared else None)
    finally:
        record.close()


def _extended(plan: CampaignPlan) -> str:
    """The campaign's file with its budgets as they are now; all else as it was written at the start."""
    content = read_yaml(plan.folder / CONFIG_FILE)
    names = {"trials", "hours", "epochs", "convergence"}
    budgets = plan.config.model_dump(mode="json", include=names, exclude_none=True)
    content["config"] = {key: value for key, value in content["config"].items() if key not in names} | budgets
    return to_yaml(content)


def _has_begun(folder: Path, by_hand: bool) -> bool:
    """Whether there is something to go on with; of what was ended by hand, more than questions."""
    with suppress(ConfigError):
        trials = study.read_trials(study.load_study(folder / JOURNAL_FILE, folder.name))
        return any(trial.epochs or trial.outcome for trial in trials) if by_hand else bool(trials)
    return False


def _create_folder(folder: Path) -> None:
    """Make the campaign's folder; of two campaigns of one name, the second fails here."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{folder} already exists", "Choose another --name, or resume it") from None
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made ({error.strerror})", "Choose a folder you may write to") from None


def _run_search(
    plan: CampaignPlan, record: CampaignStudy, started: datetime, owner_token: str | None
) -> CampaignSummary:
    """Search until a budget is spent or someone ends it, then write down what came of it."""
    folder = plan.folder
    raw = (folder.parent / ".ray" / plan.config.name).absolute()
    shutil.rmtree(raw, ignore_errors=True)  # left by a run that was killed
    try:
        with ray_session():
            dataset = ray.put(plan.dataset)
            if plan.checked_node_ids is not None:
                console.err.print(check_cluster(plan.nodes, plan.resources, dataset, plan.dataset.nbytes, plan.storage))
            with backup.backed_up(folder, plan.backup_storage, owner_token) as taken:
                with progress.progress_bar() as bar:
                    controller, incumbent = _search(plan, record, _Run(raw, dataset, owner_token, taken), bar)
                return _conclude(plan, controller, incumbent, started, taken)
    finally:
        shutil.rmtree(raw, ignore_errors=True)
        (folder / STOP_FILE).unlink(missing_ok=True)
        with suppress(OSError):  # another campaign may still be using it
            raw.parent.rmdir()


def _conclude(
    plan: CampaignPlan, controller: Controller, incumbent: TrialRecord, started: datetime, taken: Callable[[], bool]
) -> CampaignSummary:
    trials = list(controller.study.trials.values())
    tables.write_tables(plan.folder, trials)
    if controller.failure is not None:
        raise controller.failure
    if not any(trial.epochs or trial.outcome for trial in trials):
        raise KeyboardInterrupt

    def act() -> CampaignSummary:
        return write_summary(plan, controller, incumbent, started)

    if controller.watch is None:
        return act()
    return controller.watch.retry_until_available(act, lambda: controller.stop_requested() or taken())


@dataclass(frozen=True)
class _Run:
    """One run of a campaign.

    Attributes:
        raw: folder for what Tune itself writes.
        dataset: what trials see, in the object store.
        owner_token: what the driver left in the storage, see `TrialJob`.
        taken: whether another driver goes on with the campaign.
    """

    raw: Path
    dataset: Any
    owner_token: str | None
    taken: Callable[[], bool]


def _search(plan: CampaignPlan, record: CampaignStudy, this: _Run, bar: Any) -> tuple[Controller, TrialRecord]:
    """Run the trials and the incumbent. Ctrl-C ends both."""
    config = plan.config
    display = Display(bar, config.trials)
    tolerance = GPU_TOLERANCE if plan.resources.device == "cuda" else 0.0
    watch = (
        None if config.storage is None else StorageMonitor(plan.storage, lambda said: bar.console.print(escape(said)))
    )
    incumbent = IncumbentTraining(
        _job(plan, plan.incumbent, this.owner_token),
        this.dataset,
        presets.load_preset(config.incumbent).hyperparameters.model_dump(),
        plan.folder / INCUMBENT_FILE,
        progress.incumbent_bar(bar, config.incumbent, plan.incumbent.trainer.epochs),
        config.attempts,
        watch,
        record.generation,
    )

    def logs() -> list[TrialRecord]:
        return list(record.trials.values())

    def ended(trial: TrialRecord) -> None:
        display.end(trial, logs())
        if trial.outcome != COMPLETE:
            _clear(plan.storage, watch, trial)

    controller = Controller(
        record,
        Rules(
            config.max_epochs,
            config.grace,
            config.reduction,
            plan.resources.max_concurrent,
            config.attempts,
            tolerance,
        ),
        Budget(config.trials, config.hours, config.epochs, config.convergence),
        on_epoch=lambda _: display.epoch(logs()),
        on_end=ended,
        on_death=display.lost,
        stop_requested=_stop_requested(plan.folder / STOP_FILE),
        watch=watch,
    )

    def step() -> None:
        incumbent.poll()
        if this.taken():
            controller.fail(backup.taken_over(config.name))

    display.epoch(logs())
    with suppress(KeyboardInterrupt):  # a second one, or one that Tune was not there to take
        trainable = tune.with_parameters(
            TrainingTrial, job=_job(plan, plan.base, this.owner_token), load=partial(ray.get, this.dataset)
        )
        room = plan.resources.capacity - (0 if incumbent.ended else 1)
        to_come = config.trials - sum(trial.outcome is not None for trial in logs())
        run_trials(trainable, plan.resources.requirements, controller, this.raw, step, min(room, to_come))
        if controller.end_reason not in (None, "stopped", "failure"):
            incumbent.wait(lambda: controller.stop_requested() or this.taken())
            if this.taken():
                controller.fail(backup.taken_over(config.name))
            elif not incumbent.ended:
                controller.end_reason = "stopped"
    return controller, incumbent.log


def _clear(storage: Storage, watch: StorageMonitor | None, trial: TrialRecord) -> None:
    """Remove a trial's files, unless the storage is away: what is too much does no harm."""
    if watch is None or not watch.is_failing:
        try:
            storage.clear(str(trial.number))
        except StorageError as error:
            if watch is not None:
                watch.report_failure(str(error))


def _stop_requested(path: Path) -> Callable[[], bool]:
    """Looks for the file that asks for an end, but not too often."""
    looked = -POLL_SECONDS

    def look() -> bool:
        nonlocal looked
        now = time.monotonic()
        if now - looked < POLL_SECONDS:
            return False
        looked = now
        return path.exists()

    return look


def _job(plan: CampaignPlan, base: TrainingConfig, owner_token: str | None) -> TrialJob:
    config = plan.config
    return TrialJob(
        base,
        plan.resources,
        plan.storage,
        rung_epochs(config.grace, config.reduction, config.max_epochs),
        software(),
        owner_token,
        plan.checked_node_ids,
    )
