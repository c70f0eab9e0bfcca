"""Runs a campaign: checks everything, searches with Ray Tune, trains the incumbent, writes what came of it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from core import api, baselines, metrics, preset
from core.config import TrainingConfig, to_yaml
from core.dataset import Dataset, load
from core.device import resolve_device
from core.errors import ConfigError
from core.files import check_writable, write_json, write_text
from core.market import synthetic
from core.market.reader import read_market
from search import progress, results
from search.config import CampaignConfig, dry_run_bars
from search.incumbent import IncumbentTraining
from search.progress import Display, Recorder
from search.results import TrialRecord
from search.rungs import make_scheduler
from search.searcher import make_searcher
from search.trial import TrainingTrial, TrialJob


@dataclass(frozen=True)
class Plan:
    """A campaign that has been checked and can start.

    Attributes:
        config: the settings, shrunk if it is a dry run, model size resolved.
        dataset: what trials see: train and val.
        data: description of all the data, test included.
        base: the recipe of a trial.
        incumbent: the recipe of the incumbent.
        folder: where results go; does not exist yet.
    """

    config: CampaignConfig
    dataset: Dataset
    data: dict[str, Any]
    base: TrainingConfig
    incumbent: TrainingConfig
    folder: Path


@dataclass(frozen=True)
class CampaignOutcome:
    """What a campaign came to; the content of `summary.json`.

    Attributes:
        winner: the winning row of the trials table, or None without a full-fidelity trial.
        incumbent: the incumbent's record.
        yardsticks: by name, metrics on val of what needs no network: the majority class and, on the
            synthetic market, one who knows its recipe.
        counts: trials by status.
        interrupted: whether the campaign was stopped by hand.
        seconds: wall-clock time.
        files: what was written.
    """

    winner: dict[str, Any] | None
    incumbent: TrialRecord
    yardsticks: dict[str, dict[str, float]]
    counts: dict[str, int]
    interrupted: bool
    seconds: float
    files: list[Path]


def plan(config: CampaignConfig, root: Path) -> Plan:
    """Check all that can be checked before anything is written or started.

    Raises:
        ConfigError: a name, a preset, a space, a folder or a size that cannot be used.
        DataError: data that cannot be used.
    """
    folder = root / preset.check_name(config.name, "campaign")
    check_folder(folder)
    config.space.check()
    _check_resources(config)
    base, incumbent = preset.load(config.base), preset.load(config.incumbent)
    if config.dry_run:
        config = config.shrunk()
    size = config.model or api.default_size(resolve_device(config.device))
    config = config.model_copy(update={"model": size})
    dataset = _dataset(config)
    for batch_size in config.space.batch_size.values:
        dataset.check_batch_size(batch_size)
    base_config = base.training_config(size=size, metric=config.metric, seed=config.seed)
    incumbent_config = incumbent.training_config(size=size, metric=config.metric, seed=config.seed)
    dataset.check_batch_size(incumbent_config.trainer.batch_size)
    epochs = min(incumbent_config.trainer.epochs, config.incumbent_epochs or incumbent_config.trainer.epochs)
    return Plan(
        config=config,
        dataset=dataset.without_test(),
        data=api.describe_data(dataset),
        base=base_config.with_trainer(epochs=config.max_epochs, patience=None, schedule=config.schedule),
        incumbent=incumbent_config.with_trainer(epochs=epochs),
        folder=folder,
    )


def _check_resources(config: CampaignConfig) -> None:
    """Refuse a trial that this machine has no room for: it would wait for ever."""
    cpus, gpus = os.cpu_count() or 1, torch.cuda.device_count()
    if config.cpus_per_trial > cpus:
        raise ConfigError(f"cpus_per_trial is {config.cpus_per_trial}, this machine has {cpus}", "Ask for fewer")
    if resolve_device(config.device).type == "cuda" and config.gpus_per_trial > gpus:
        raise ConfigError(f"gpus_per_trial is {config.gpus_per_trial:g}, this machine has {gpus}", "Ask for fewer")


def check_folder(folder: Path) -> None:
    """Make sure that a campaign can have this folder.

    Raises:
        ConfigError: the name is taken, or the folder cannot be written.
    """
    check_writable(folder)
    if folder.exists():
        raise ConfigError(f"{folder} already exists", "Choose another --name, or remove that folder")


def _dataset(config: CampaignConfig) -> Dataset:
    """The campaign's dataset; for a dry run, that of its last few bars."""
    data = config.data
    if config.dry_run:
        market = read_market(data)
        bars = dry_run_bars(data)
        days = bars * market.span.bar / 86_400e6
        if market.span.bars > bars:
            data = data.model_copy(update={"days": days})
    return load(data)


def run(planned: Plan) -> CampaignOutcome:
    """Run a planned campaign. Ctrl-C ends it early; the trials that had ended are kept.

    Raises:
        ConfigError: another process took the name, or the folder cannot be written.
    """
    started = datetime.now(UTC)
    folder = planned.folder
    description = _describe(planned, started)
    _take(folder)
    raw = (folder.parent / ".ray" / planned.config.name).absolute()
    shutil.rmtree(raw, ignore_errors=True)  # of a campaign that was killed
    records: list[TrialRecord] = []
    try:
        write_text(folder / results.CONFIG_FILE, description)
        with _ray(), progress.progress_bar() as bar:
            records, incumbent = _search(planned, raw, bar)
    finally:
        shutil.rmtree(raw, ignore_errors=True)
        with suppress(OSError):  # another campaign may still be using it
            raw.parent.rmdir()
        if not _ended(records):  # nothing came of it: leave the name free
            shutil.rmtree(folder, ignore_errors=True)
    if not _ended(records):
        raise KeyboardInterrupt
    interrupted = _ended(records) < planned.config.trials or incumbent.status == results.INTERRUPTED
    return _conclude(planned, records, incumbent, interrupted, started)


def _ended(records: list[TrialRecord]) -> int:
    return sum(record.status != results.INTERRUPTED for record in records)


def _take(folder: Path) -> None:
    """Make the campaign's folder; of two campaigns of one name, the second fails here."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(f"{folder} already exists", "Choose another --name, or remove that folder") from None
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made ({error.strerror})", "Choose a folder you may write to") from None


def _describe(planned: Plan, started: datetime) -> str:
    """The text of `campaign.yaml`."""
    content = {
        "config": planned.config.model_dump(mode="json", exclude_none=True),
        "resolved": {
            "started": started.isoformat(timespec="seconds"),
            "data": planned.data,
            "base_recipe": planned.base.model_dump(mode="json"),
            "incumbent_recipe": planned.incumbent.model_dump(mode="json"),
            "versions": {name: version(name) for name in ("preset-search", "torch", "ray", "optuna")},
        },
    }
    return to_yaml(content)


@contextmanager
def _ray() -> Iterator[None]:
    """A Ray cluster of this machine alone, for as long as the block lasts."""
    # Tune's own tables, log files and per-trial loggers would only repeat what is recorded here.
    os.environ.update(
        RAY_AIR_NEW_OUTPUT="0", TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1", TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S="0"
    )
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
    )
    # Being told to end is as good as Ctrl-C: what had ended is kept.
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        ray.shutdown()


def _search(planned: Plan, raw: Path, bar: Any) -> tuple[list[TrialRecord], TrialRecord]:
    """Run the trials and the incumbent; returns their records. Ctrl-C ends both."""
    config = planned.config
    display = Display(bar, config.trials)
    device = resolve_device(config.device).type
    gpus = config.gpus_per_trial if device == "cuda" else 0.0
    incumbent = IncumbentTraining(
        _job(planned, planned.incumbent),
        planned.dataset,
        preset.load(config.incumbent).hyperparameters.model_dump(),
        gpus,
        progress.incumbent_bar(bar, config.incumbent, planned.incumbent.trainer.epochs),
    )

    def ended(recorder: Recorder, record: TrialRecord) -> None:
        display.end(recorder, record)
        # After each trial, so that whatever ends this process, the ended trials are on disk.
        progress.write_tables(planned.folder, recorder.records)

    recorder = Recorder(config.max_epochs, display.epoch, ended, incumbent.poll)
    try:
        _fit(planned, recorder, raw, gpus)
        if _ended(recorder.records) == config.trials:
            incumbent.wait()
    except KeyboardInterrupt:  # a second one, or one that Tune was not there to take
        pass
    progress.write_tables(planned.folder, recorder.records)
    return recorder.records, incumbent.record


def _job(planned: Plan, base: TrainingConfig) -> TrialJob:
    device = resolve_device(planned.config.device).type
    return TrialJob(base, "cuda" if device == "cuda" else "cpu", planned.config.cpus_per_trial)


def _fit(planned: Plan, recorder: Recorder, raw: Path, gpus: float) -> None:
    """Hand the trials to Ray Tune and wait until they have ended."""
    config = planned.config
    trainable = tune.with_parameters(TrainingTrial, job=_job(planned, planned.base), dataset=planned.dataset)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": float(config.cpus_per_trial), "gpu": gpus}),
        tune_config=tune.TuneConfig(
            search_alg=make_searcher(config.space, config.seed),
            scheduler=make_scheduler(config.grace, config.reduction, config.max_epochs),
            num_samples=config.trials,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=raw.name,
            storage_path=str(raw.parent),
            callbacks=[recorder],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()


def _conclude(
    planned: Plan, records: list[TrialRecord], incumbent: TrialRecord, interrupted: bool, started: datetime
) -> CampaignOutcome:
    """Choose the winner and write `summary.json`."""
    dataset = planned.dataset
    trials = results.trials_table(records)
    yardsticks = {"majority": baselines.majority(dataset, dataset.val)}
    market = planned.config.data.synthetic
    returns_labelled = (
        planned.config.data.labels.kind != "triple_barrier" and not planned.config.data.labels.volatility_scaled
    )
    if market is not None and synthetic.has_known_optimum(market) and returns_labelled:
        yardsticks["bayes"] = baselines.bayes(dataset, market, dataset.val)
    folder = planned.folder
    outcome = CampaignOutcome(
        winner=results.winner(trials),
        incumbent=incumbent,
        yardsticks={
            name: metrics.evaluate(dataset.labels[dataset.val], probabilities, dataset.timestamps[dataset.val])
            for name, probabilities in yardsticks.items()
        },
        counts={str(status): int(count) for status, count in trials["status"].value_counts().items()},
        interrupted=interrupted,
        seconds=(datetime.now(UTC) - started).total_seconds(),
        files=[
            folder / name
            for name in (results.CONFIG_FILE, results.TRIALS_FILE, results.CURVES_FILE, results.SUMMARY_FILE)
        ],
    )
    last = incumbent.epochs[-1] if incumbent.status == results.COMPLETE else None
    write_json(
        folder / results.SUMMARY_FILE,
        {
            "dry_run": planned.config.dry_run,
            "interrupted": interrupted,
            "seconds": round(outcome.seconds, 1),
            "trials": outcome.counts,
            "ranking_metric": planned.config.metric,
            "note": "figures on val, which chose the winner: optimistic, not confirmed",
            "winner": outcome.winner,
            "incumbent": {
                "preset": planned.config.incumbent,
                "epochs": last["epoch"],
                "best_epoch": last["best_epoch"],
                "val": last["best_metrics"],
            }
            if last
            else None,
            **{name: {"val": scores} for name, scores in outcome.yardsticks.items()},
        },
    )
    return outcome
