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


def run_campaign(planned: CampaignPlan) -> CampaignSummary:
    """Run a planned campaign. Ctrl-C ends it early; what had been learned is kept, and `resume` goes on.

    Raises:
        ConfigError: another process took the name, or the folder cannot be written.
    """
    started = datetime.now(UTC)
    folder = planned.folder
    content = campaign_yaml(planned, started)
    kept = planned.kept_elsewhere
    if kept is not None:
        backup.check_name_free(kept, planned.config.name)
    _create_folder(folder)
    mark = None
    try:
        mark = planned.storage.mark() if planned.is_shared else None
        record = CampaignStudy(folder / JOURNAL_FILE, settings_of(planned.config))
        try:
            for name, known in planned.earlier:
                record.tell_earlier(name, known)
            record.ask_first(planned.asked_first)
            write_text(folder / CONFIG_FILE, content)
            return _run_search(planned, record, started, mark)
        finally:
            record.close()
    except BaseException as error:
        if not _has_begun(folder, by_hand=isinstance(error, KeyboardInterrupt)):  # leave the name free
            shutil.rmtree(folder, ignore_errors=True)
            if kept is not None:
                with suppress(StorageError):
                    backup.clear_backup(kept, mark)
        raise


def resume_campaign(planned: CampaignPlan) -> CampaignSummary:
    """Go on with a campaign where its journal ends.

    Raises:
        ConfigError: another process runs it, its journal is damaged, or it has its verdict already.
    """
    started = datetime.now(UTC)
    resolved = read_yaml(planned.folder / CONFIG_FILE)["resolved"]
    if (planned.folder / VERDICT_FILE).exists() or ledger.has_read_test(
        planned.folder.parent / LEDGER_FILE, planned.config.name, str(resolved["started"])
    ):
        raise ConfigError(
            f"Campaign {planned.config.name} has read its test span: what is searched now would not be what was read",
            "Start a new campaign; warm_start lets it begin with what this one found",
        )
    here = planned.packing.device
    if planned.config.device == "auto" and (before := resolved.get("device", here)) != here:
        raise ConfigError(
            f"Campaign {planned.config.name} trains on {before}, and here is {here}: its trials could not be compared",
            f"Resume it where there is {before}; or say device: {here} in its campaign.yaml, if they may be compared",
        )
    if (restored := planned.folder / RESTORED_FILE).exists():
        study.take_over(planned.folder / JOURNAL_FILE, planned.config.name)
        restored.unlink()
    record = CampaignStudy(planned.folder / JOURNAL_FILE, settings_of(planned.config), must_exist=True)
    try:
        (planned.folder / STOP_FILE).unlink(missing_ok=True)  # left by a run that was killed
        logs = list(record.trials.values())
        if planned.config.trials < len(logs):
            raise ConfigError(f"The campaign has asked for {len(logs)} trials already", "Ask for more --trials")
        tables.check_not_behind(planned.folder, logs)
        tables.check_parts(planned.folder, planned.storage, logs)
        (planned.folder / MANIFEST_FILE).unlink(missing_ok=True)
        write_text(planned.folder / CONFIG_FILE, _extended(planned))
        return _run_search(planned, record, started, planned.storage.mark() if planned.is_shared else None)
    finally:
        record.close()


def _extended(planned: CampaignPlan) -> str:
    """The campaign's file with its budgets as they are now; all else as it was written at the start."""
    content = read_yaml(planned.folder / CONFIG_FILE)
    names = {"trials", "hours", "epochs", "convergence"}
    budgets = planned.config.model_dump(mode="json", include=names, exclude_none=True)
    content["config"] = {key: value for key, value in content["config"].items() if key not in names} | budgets
    return to_yaml(content)


def _has_begun(folder: Path, by_hand: bool) -> bool:
    """Whether there is something to go on with; of what was ended by hand, more than questions."""
    with suppress(ConfigError):
        logs = study.read_trials(study.load_study(folder / JOURNAL_FILE, folder.name))
        return any(log.epochs or log.outcome for log in logs) if by_hand else bool(logs)
    return False


def _create_folder(folder: Path) -> None:
    """Make the campaign's folder; of two campaigns of one name, the second fails here."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{folder} already exists", "Choose another --name, or resume it") from None
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made ({error.strerror})", "Choose a folder you may write to") from None


def _run_search(planned: CampaignPlan, record: CampaignStudy, started: datetime, mark: str | None) -> CampaignSummary:
    """Search until a budget is spent or someone ends it, then write down what came of it."""
    folder = planned.folder
    raw = (folder.parent / ".ray" / planned.config.name).absolute()
    shutil.rmtree(raw, ignore_errors=True)  # left by a run that was killed
    try:
        with ray_session():
            dataset = ray.put(planned.dataset)
            if planned.looked_at is not None:
                console.err.print(
                    check_cluster(planned.nodes, planned.packing, dataset, planned.dataset.nbytes, planned.storage)
                )
            with backup.backed_up(folder, planned.kept_elsewhere, mark) as taken:
                with progress.progress_bar() as bar:
                    book, incumbent = _search(planned, record, _Run(raw, dataset, mark, taken), bar)
                return _conclude(planned, book, incumbent, started, taken)
    finally:
        shutil.rmtree(raw, ignore_errors=True)
        (folder / STOP_FILE).unlink(missing_ok=True)
        with suppress(OSError):  # another campaign may still be using it
            raw.parent.rmdir()


def _conclude(
    planned: CampaignPlan, book: Controller, incumbent: TrialRecord, started: datetime, taken: Callable[[], bool]
) -> CampaignSummary:
    logs = list(book.study.trials.values())
    tables.write_tables(planned.folder, logs)
    if book.failure is not None:
        raise book.failure
    if not any(log.epochs or log.outcome for log in logs):
        raise KeyboardInterrupt

    def act() -> CampaignSummary:
        return write_summary(planned, book, incumbent, started)

    if book.watch is None:
        return act()
    return book.watch.patiently(act, lambda: book.stop_requested() or taken())


@dataclass(frozen=True)
class _Run:
    """One run of a campaign.

    Attributes:
        raw: folder for what Tune itself writes.
        dataset: what trials see, in the object store.
        mark: what the driver left in the storage, see `TrialJob`.
        taken: whether another driver goes on with the campaign.
    """

    raw: Path
    dataset: Any
    mark: str | None
    taken: Callable[[], bool]


def _search(planned: CampaignPlan, record: CampaignStudy, this: _Run, bar: Any) -> tuple[Controller, TrialRecord]:
    """Run the trials and the incumbent. Ctrl-C ends both."""
    config = planned.config
    display = Display(bar, config.trials)
    tolerance = GPU_TOLERANCE if planned.packing.device == "cuda" else 0.0
    watch = (
        None
        if config.storage is None
        else StorageMonitor(planned.storage, lambda said: bar.console.print(escape(said)))
    )
    incumbent = IncumbentTraining(
        _job(planned, planned.incumbent, this.mark),
        this.dataset,
        presets.load_preset(config.incumbent).hyperparameters.model_dump(),
        planned.folder / INCUMBENT_FILE,
        progress.incumbent_bar(bar, config.incumbent, planned.incumbent.trainer.epochs),
        config.attempts,
        watch,
        record.generation,
    )

    def logs() -> list[TrialRecord]:
        return list(record.trials.values())

    def ended(log: TrialRecord) -> None:
        display.end(log, logs())
        if log.outcome != COMPLETE:
            _clear(planned.storage, watch, log)

    book = Controller(
        record,
        Rules(config.max_epochs, config.grace, config.reduction, planned.packing.slots, config.attempts, tolerance),
        Budget(config.trials, config.hours, config.epochs, config.convergence),
        on_epoch=lambda _: display.epoch(logs()),
        on_end=ended,
        on_death=display.lost,
        stop_requested=_stop_requested(planned.folder / STOP_FILE),
        watch=watch,
    )

    def step() -> None:
        incumbent.poll()
        if this.taken():
            book.fail(backup.taken_over(config.name))

    display.epoch(logs())
    with suppress(KeyboardInterrupt):  # a second one, or one that Tune was not there to take
        trainable = tune.with_parameters(
            TrainingTrial, job=_job(planned, planned.base, this.mark), load=partial(ray.get, this.dataset)
        )
        room = planned.packing.room - (0 if incumbent.ended else 1)
        to_come = config.trials - sum(log.outcome is not None for log in logs())
        run_trials(trainable, planned.packing.resources, book, this.raw, step, min(room, to_come))
        if book.ending not in (None, "stopped", "failure"):
            incumbent.wait(lambda: book.stop_requested() or this.taken())
            if this.taken():
                book.fail(backup.taken_over(config.name))
            elif not incumbent.ended:
                book.ending = "stopped"
    return book, incumbent.log


def _clear(storage: Storage, watch: StorageMonitor | None, log: TrialRecord) -> None:
    """Remove a trial's files, unless the storage is away: what is too much does no harm."""
    if watch is None or not watch.is_failing:
        try:
            storage.clear(str(log.number))
        except StorageError as error:
            if watch is not None:
                watch.failed(str(error))


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


def _job(planned: CampaignPlan, base: TrainingConfig, mark: str | None) -> TrialJob:
    config = planned.config
    return TrialJob(
        base,
        planned.packing,
        planned.storage,
        rung_epochs(config.grace, config.reduction, config.max_epochs),
        software(),
        mark,
        planned.looked_at,
    )
