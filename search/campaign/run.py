"""Runs or resumes a campaign: trains trials and incumbent on an engine, then writes the tables and the summary."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from core import console, presets
from core.errors import ConfigError
from core.files import read_yaml, to_yaml, write_text
from search.campaign import backup
from search.campaign.driver_log import driver_log
from search.campaign.plan import CampaignPlan, make_campaign_yaml, make_ledger_entry
from search.campaign.search_run import SearchRun
from search.campaign.shared_ledger import join_ledgers
from search.campaign.summary import CampaignSummary
from search.config import study_settings
from search.engine.protocol import Engine
from search.results import ledger, tables
from search.results.readings import complete_ledger, preset_entry
from search.storage.filesystem import StorageError
from search.storage.removal import background_removal
from search.study.study import CampaignStudy, take_over
from search.study.trial_record import TrialRecord

_LOG = logging.getLogger(__name__)


def run_campaign(plan: CampaignPlan, engine: Engine) -> CampaignSummary:
    """Run a new campaign until a budget is spent or someone ends it.

    After Ctrl-C the results so far are written, and the campaign can be resumed. Where there is nothing to resume, the
    folder is removed, so that the name is free again.

    Args:
        plan: the planned campaign, from `plan_campaign` or `plan_resume`.
        engine: the engine that runs the trainings.

    Returns:
        the results of the search.

    Raises:
        ConfigError: another process has taken the name, or the folder cannot be written.
        KeyboardInterrupt: the campaign was ended before there was a result.
    """
    started = datetime.now(UTC)
    folder = plan.folder
    content = make_campaign_yaml(plan, started)
    if plan.backup_storage is not None:
        backup.check_name_free(plan.backup_storage, plan.config.name)
    _create_folder(folder.path)
    owner_token, begun = None, None
    try:
        owner_token = plan.storage.claim() if plan.is_shared else None
        study = CampaignStudy(folder.journal, study_settings(plan.config))
        begun = study.trials
        try:
            for name, trials in plan.earlier:
                study.add_earlier_trials(name, trials)
            study.enqueue_trials(plan.asked_first)
            write_text(folder.config_file, content)
            on_ready = partial(_record_readings, plan, started.isoformat(timespec="seconds"))
            return _run_search(plan, study, started, owner_token, engine, on_ready)
        finally:
            study.close()
    except BaseException as error:
        # What this process knows decides: a journal that cannot be read now may hold a campaign all the same.
        if not _is_resumable(begun or {}, by_hand=isinstance(error, KeyboardInterrupt)):
            shutil.rmtree(folder.path, ignore_errors=True)
            if plan.backup_storage is not None:
                with suppress(StorageError):
                    backup.clear_backup(plan.backup_storage, owner_token)
        raise


def resume_campaign(plan: CampaignPlan, engine: Engine) -> CampaignSummary:
    """Continue a campaign where its journal ends, until a budget is spent or someone ends it.

    Args:
        plan: the campaign, from `plan_resume`.
        engine: the engine that runs the trainings.

    Returns:
        the results of the search.

    Raises:
        ConfigError: another process runs the campaign, a file of it is damaged, or it has a verdict already.
        KeyboardInterrupt: the campaign was ended before there was a result.
    """
    started = datetime.now(UTC)
    folder = plan.folder
    if folder.restored_marker.exists():
        take_over(folder.journal, plan.config.name)
        folder.restored_marker.unlink()
    study = CampaignStudy(folder.journal, study_settings(plan.config), must_exist=True)
    try:
        _check_resumable(plan)  # with the journal locked, so that no other process changes the answer
        folder.stop_request.unlink(missing_ok=True)  # left by a run that was killed
        trials = list(study.trials.values())
        if plan.config.trials < len(trials):
            raise ConfigError(f"The campaign already has {len(trials)} trials", "Name a larger number of --trials")
        tables.check_not_behind(folder, trials)
        tables.check_trial_outputs(folder, plan.storage, trials)
        owner_token = plan.storage.claim() if plan.is_shared else None
        return _run_search(plan, study, started, owner_token, engine, partial(_reopen, plan))
    finally:
        study.close()


def _reopen(plan: CampaignPlan) -> None:
    """Take back what says that the campaign is concluded, and record the budgets of this run."""
    _record_readings(plan, str(plan.folder.read_record().started))
    plan.folder.manifest.unlink(missing_ok=True)
    write_text(plan.folder.config_file, _with_present_budgets(plan))


def _record_readings(plan: CampaignPlan, started: str) -> None:
    """Record in the ledger what the search reads, and what the presets that it begins with have read."""
    now = datetime.now(UTC)
    entry = make_ledger_entry(plan, started, "search", now)
    if entry is None:
        return
    complete_ledger(plan.folder.path.parent)
    origins = [presets.load_preset(name) for name in dict.fromkeys((*plan.config.ask, plan.config.base))]
    entries = [preset_entry(preset, now.isoformat(timespec="seconds")) for preset in origins]
    join_ledgers(plan.folder.ledger, [entry, *filter(None, entries)], plan.common_storage)


def _check_resumable(plan: CampaignPlan) -> None:
    """Check that further trials can be compared with those of the campaign, and do not follow a reading of test.

    Raises:
        ConfigError: the test span has been read, or the trials were trained on another kind of device.
    """
    name, folder, record = plan.config.name, plan.folder, plan.folder.read_record()
    if folder.verdict.exists() or ledger.has_read_test(folder.ledger, name, str(record.started)):
        raise ConfigError(
            f"Campaign {name} has read its test span: a search that continues now would not be the one that was read",
            "Start a new campaign; its warm_start can name this one",
        )
    device = plan.resources.device
    if plan.config.device == "auto" and (record.device or device) != device:
        raise ConfigError(
            f"Campaign {name} trains on {record.device}, but this machine has {device}: the trials could not be "
            "compared",
            f"Resume it on a machine with {record.device}, or set device: {device} in its campaign.yaml to compare "
            "them all the same",
        )


def _with_present_budgets(plan: CampaignPlan) -> str:
    """Return the text of the campaign's file with the budgets of this run in place of the recorded ones."""
    content = read_yaml(plan.folder.config_file)
    names = {"trials", "hours", "epochs", "convergence"}
    budgets = plan.config.model_dump(mode="json", include=names, exclude_none=True)
    content["config"] = {key: value for key, value in content["config"].items() if key not in names} | budgets
    return to_yaml(content)


def _is_resumable(trials: Mapping[int, TrialRecord], by_hand: bool) -> bool:
    """Return whether a campaign has something to resume.

    Args:
        trials: the trials of the campaign, by number.
        by_hand: whether someone ended the campaign: then trials that were only proposed are not worth resuming.
    """
    return any(trial.epochs or trial.outcome for trial in trials.values()) if by_hand else bool(trials)


def _create_folder(path: Path) -> None:
    """Create the campaign's folder; of two processes that start campaigns of one name, the second fails here."""
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{path} already exists", "Choose another --name, or resume the campaign") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be created ({error.strerror})", "Choose a folder you may write to") from None


def _run_search(
    plan: CampaignPlan,
    study: CampaignStudy,
    started: datetime,
    owner_token: str | None,
    engine: Engine,
    on_ready: Callable[[], None] = lambda: None,
) -> CampaignSummary:
    """Search until a budget is spent or someone ends it, then write the results.

    Args:
        plan: the planned campaign, from `plan_campaign` or `plan_resume`.
        study: the open study of the campaign.
        started: when this run started.
        owner_token: the token that this driver got when it claimed the storage; None where there is one machine.
        engine: the engine that runs the trainings.
        on_ready: called once the engine has started and the nodes have been checked.
    """
    folder = plan.folder
    scratch = (folder.path.parent / ".ray" / plan.config.name).absolute()
    shutil.rmtree(scratch, ignore_errors=True)  # left by a run that was killed
    try:
        with driver_log(folder.driver_log), engine.session():
            _LOG.info("run started", extra=_run_details(plan))
            if plan.checked_node_ids is not None:
                engine.check_nodes(plan.nodes, plan.resources, plan.dataset, plan.storage)
            dataset = engine.share(plan.trial_data)
            on_ready()
            with backup.backed_up(folder, plan.backup_storage, owner_token) as taken_over:
                with console.progress_bar() as bar:
                    search = SearchRun(plan, study, engine, dataset, owner_token, taken_over, bar)
                    with background_removal(search.storage_is_failing) as search.remove:
                        search.run(scratch)
                return search.conclude(started)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        folder.stop_request.unlink(missing_ok=True)
        with suppress(OSError):  # another campaign may still be using it
            scratch.parent.rmdir()


def _run_details(plan: CampaignPlan) -> dict[str, Any]:
    """Return the fields of the log entry about the start of a run."""
    resources = plan.resources
    return {
        "campaign": plan.config.name,
        "identity": plan.identity,
        "nodes": [node.name for node in plan.nodes],
        "device": resources.device,
        "max_concurrent": resources.max_concurrent,
        "trials": plan.config.trials,
    }
