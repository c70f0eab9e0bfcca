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

from core import console, preset
from core.config import TrainingConfig, read_yaml, to_yaml
from core.errors import ConfigError
from core.files import write_text
from search import ledger, mirror, preflight, progress, results, study
from search.book import Book, Budget, Rules
from search.cluster import ray_session
from search.config import settings_of
from search.incumbent import IncumbentTraining
from search.nodes import software
from search.outcome import CampaignOutcome, conclude
from search.plan import Plan, describe
from search.progress import Display
from search.rungs import rung_epochs
from search.running import run_trials
from search.storage import Storage, StorageError
from search.study import CampaignStudy
from search.trial import TrainingTrial, TrialJob
from search.triallog import TrialLog
from search.watch import Watch

_LOOK_SECONDS = 0.5
GPU_TOLERANCE = 1e-3
"""Relative difference up to which an epoch that is run again on a GPU counts as the same."""


def run(planned: Plan) -> CampaignOutcome:
    """Run a planned campaign. Ctrl-C ends it early; what had been learned is kept, and `resume` goes on.

    Raises:
        ConfigError: another process took the name, or the folder cannot be written.
    """
    started = datetime.now(UTC)
    folder = planned.folder
    content = describe(planned, started)
    kept = planned.kept_elsewhere
    if kept is not None:
        mirror.check_free(kept, planned.config.name)
    _take(folder)
    mark = None
    try:
        mark = planned.storage.mark() if planned.is_shared else None
        record = CampaignStudy(folder / results.JOURNAL_FILE, settings_of(planned.config))
        try:
            for name, known in planned.earlier:
                record.tell_earlier(name, known)
            record.ask_first(planned.asked_first)
            write_text(folder / results.CONFIG_FILE, content)
            return _go(planned, record, started, mark)
        finally:
            record.close()
    except BaseException as error:
        if not _has_begun(folder, by_hand=isinstance(error, KeyboardInterrupt)):  # leave the name free
            shutil.rmtree(folder, ignore_errors=True)
            if kept is not None:
                with suppress(StorageError):
                    mirror.clear(kept, mark)
        raise


def resume(planned: Plan) -> CampaignOutcome:
    """Go on with a campaign where its journal ends.

    Raises:
        ConfigError: another process runs it, its journal is damaged, or it has its verdict already.
    """
    started = datetime.now(UTC)
    resolved = read_yaml(planned.folder / results.CONFIG_FILE)["resolved"]
    if (planned.folder / results.VERDICT_FILE).exists() or ledger.known(
        planned.folder.parent / ledger.LEDGER_FILE, planned.config.name, str(resolved["started"])
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
    if (restored := planned.folder / results.RESTORED_FILE).exists():
        study.take_over(planned.folder / results.JOURNAL_FILE, planned.config.name)
        restored.unlink()
    record = CampaignStudy(planned.folder / results.JOURNAL_FILE, settings_of(planned.config), must_exist=True)
    try:
        (planned.folder / results.STOP_FILE).unlink(missing_ok=True)  # left by a run that was killed
        logs = list(record.trials.values())
        if planned.config.trials < len(logs):
            raise ConfigError(f"The campaign has asked for {len(logs)} trials already", "Ask for more --trials")
        results.check_not_behind(planned.folder, logs)
        results.check_parts(planned.folder, planned.storage, logs)
        (planned.folder / results.MANIFEST_FILE).unlink(missing_ok=True)
        write_text(planned.folder / results.CONFIG_FILE, _extended(planned))
        return _go(planned, record, started, planned.storage.mark() if planned.is_shared else None)
    finally:
        record.close()


def _extended(planned: Plan) -> str:
    """The campaign's file with its budgets as they are now; all else as it was written at the start."""
    content = read_yaml(planned.folder / results.CONFIG_FILE)
    names = {"trials", "hours", "epochs", "convergence"}
    budgets = planned.config.model_dump(mode="json", include=names, exclude_none=True)
    content["config"] = {key: value for key, value in content["config"].items() if key not in names} | budgets
    return to_yaml(content)


def _has_begun(folder: Path, by_hand: bool) -> bool:
    """Whether there is something to go on with; of what was ended by hand, more than questions."""
    with suppress(ConfigError):
        logs = study.read_trials(study.load(folder / results.JOURNAL_FILE, folder.name))
        return any(log.epochs or log.outcome for log in logs) if by_hand else bool(logs)
    return False


def _take(folder: Path) -> None:
    """Make the campaign's folder; of two campaigns of one name, the second fails here."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{folder} already exists", "Choose another --name, or resume it") from None
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made ({error.strerror})", "Choose a folder you may write to") from None


def _go(planned: Plan, record: CampaignStudy, started: datetime, mark: str | None) -> CampaignOutcome:
    """Search until a budget is spent or someone ends it, then write down what came of it."""
    folder = planned.folder
    raw = (folder.parent / ".ray" / planned.config.name).absolute()
    shutil.rmtree(raw, ignore_errors=True)  # left by a run that was killed
    try:
        with ray_session():
            dataset = ray.put(planned.dataset)
            if planned.looked_at is not None:
                check_nodes(planned, dataset, planned.storage)
            with mirror.mirrored(folder, planned.kept_elsewhere, mark) as taken:
                with progress.progress_bar() as bar:
                    book, incumbent = _search(planned, record, _Run(raw, dataset, mark, taken), bar)
                return _conclude(planned, book, incumbent, started, taken)
    finally:
        shutil.rmtree(raw, ignore_errors=True)
        (folder / results.STOP_FILE).unlink(missing_ok=True)
        with suppress(OSError):  # another campaign may still be using it
            raw.parent.rmdir()


def check_nodes(planned: Plan, dataset: Any, storage: Storage | None) -> None:
    """Look at every node of a cluster before anything is trained there, and say what was found.

    Args:
        planned: the campaign.
        dataset: what trials see, in the object store.
        storage: that every node has to reach; None if none has to.

    Raises:
        UnfitNodeError: a node cannot take part.
    """
    size = planned.dataset.nbytes
    console.err.print(preflight.check(planned.nodes, planned.packing, dataset, size, storage, software()))


def _conclude(
    planned: Plan, book: Book, incumbent: TrialLog, started: datetime, taken: Callable[[], bool]
) -> CampaignOutcome:
    logs = list(book.study.trials.values())
    results.write_tables(planned.folder, logs)
    if book.failure is not None:
        raise book.failure
    if not any(log.epochs or log.outcome for log in logs):
        raise KeyboardInterrupt

    def act() -> CampaignOutcome:
        return conclude(planned, book, incumbent, started)

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


def _search(planned: Plan, record: CampaignStudy, this: _Run, bar: Any) -> tuple[Book, TrialLog]:
    """Run the trials and the incumbent. Ctrl-C ends both."""
    config = planned.config
    display = Display(bar, config.trials)
    tolerance = GPU_TOLERANCE if planned.packing.device == "cuda" else 0.0
    watch = None if config.storage is None else Watch(planned.storage, lambda said: bar.console.print(escape(said)))
    incumbent = IncumbentTraining(
        _job(planned, planned.incumbent, this.mark),
        this.dataset,
        preset.load(config.incumbent).hyperparameters.model_dump(),
        planned.folder / results.INCUMBENT_FILE,
        progress.incumbent_bar(bar, config.incumbent, planned.incumbent.trainer.epochs),
        config.attempts,
        watch,
        record.generation,
    )

    def logs() -> list[TrialLog]:
        return list(record.trials.values())

    def ended(log: TrialLog) -> None:
        display.end(log, logs())
        if log.outcome != results.COMPLETE:
            _clear(planned.storage, watch, log)

    book = Book(
        record,
        Rules(config.max_epochs, config.grace, config.reduction, planned.packing.slots, config.attempts, tolerance),
        Budget(config.trials, config.hours, config.epochs, config.convergence),
        on_epoch=lambda _: display.epoch(logs()),
        on_end=ended,
        on_death=display.lost,
        stop_requested=_stop_requested(planned.folder / results.STOP_FILE),
        watch=watch,
    )

    def step() -> None:
        incumbent.poll()
        if this.taken():
            book.fail(mirror.taken_over(config.name))

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
                book.fail(mirror.taken_over(config.name))
            elif not incumbent.ended:
                book.ending = "stopped"
    return book, incumbent.log


def _clear(storage: Storage, watch: Watch | None, log: TrialLog) -> None:
    """Remove a trial's files, unless the storage is away: what is too much does no harm."""
    if watch is None or not watch.is_failing:
        try:
            storage.clear(str(log.number))
        except StorageError as error:
            if watch is not None:
                watch.failed(str(error))


def _stop_requested(path: Path) -> Callable[[], bool]:
    """Looks for the file that asks for an end, but not too often."""
    looked = -_LOOK_SECONDS

    def look() -> bool:
        nonlocal looked
        now = time.monotonic()
        if now - looked < _LOOK_SECONDS:
            return False
        looked = now
        return path.exists()

    return look


def _job(planned: Plan, base: TrainingConfig, mark: str | None) -> TrialJob:
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
