"""Runs a campaign: checks everything, searches with Ray Tune, trains the incumbent, writes what came of it."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray
from ray import tune

from core import api, baselines, metrics, preset
from core.config import TrainingConfig, to_yaml
from core.dataset import Dataset, load, read_market
from core.errors import ConfigError
from core.files import check_writable, write_json, write_text
from core.market import synthetic
from core.trainer import resolve_device
from search import progress, results
from search.config import DRY_RUN_BARS, CampaignConfig
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
        incumbent: the incumbent's record, or None if its training was not begun.
        yardsticks: by name, metrics on val of what needs no network: the majority class and, on the
            synthetic market, one who knows its recipe.
        counts: trials by status.
        interrupted: whether the campaign was stopped by hand.
        seconds: wall-clock time.
        files: what was written.
    """

    winner: dict[str, Any] | None
    incumbent: TrialRecord | None
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
        base=_with_trainer(base_config, epochs=config.max_epochs, patience=None, schedule=config.schedule),
        incumbent=_with_trainer(incumbent_config, epochs=epochs),
        folder=folder,
    )


def check_folder(folder: Path) -> None:
    """Make sure that a campaign can have this folder.

    Raises:
        ConfigError: the name is taken, or the folder cannot be written.
    """
    check_writable(folder)
    if folder.exists():
        raise ConfigError(f"{folder} already exists", "Choose another --name, or remove that folder")


def _with_trainer(config: TrainingConfig, **changes: Any) -> TrainingConfig:
    return config.model_copy(update={"trainer": config.trainer.model_copy(update=changes)})


def _dataset(config: CampaignConfig) -> Dataset:
    """The campaign's dataset; for a dry run, that of its last few bars."""
    data = config.data
    if config.dry_run:
        market = read_market(data)
        days = DRY_RUN_BARS * market.span.bar / 86_400e6
        if market.span.bars > DRY_RUN_BARS:
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
    try:
        write_text(folder / results.CONFIG_FILE, description)
        with _ray(), progress.progress_bar() as bar:
            recorder, interrupted = _search(planned, raw, bar)
            records = recorder.records
            progress.write_tables(folder, records)
            incumbent = None if interrupted else _train_incumbent(planned, raw, bar)
            interrupted |= incumbent is not None and incumbent.status == results.INTERRUPTED
    finally:
        shutil.rmtree(raw, ignore_errors=True)
        with suppress(OSError):  # another campaign may still be using it
            raw.parent.rmdir()
        if not (folder / results.TRIALS_FILE).exists():  # nothing came of it: leave the name free
            shutil.rmtree(folder, ignore_errors=True)
    return _conclude(planned, records, incumbent, interrupted, started)


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
    try:
        yield
    finally:
        ray.shutdown()


def _search(planned: Plan, raw: Path, bar: Any) -> tuple[Recorder, bool]:
    """Run the trials; returns their recorder, and whether they were interrupted."""
    config = planned.config
    display = Display(bar, config.trials)

    def ended(recorder: Recorder, record: TrialRecord) -> None:
        display.end(recorder, record)
        # After each trial, so that whatever ends this process, the ended trials are on disk.
        progress.write_tables(planned.folder, recorder.records)

    recorder = Recorder(config.max_epochs, display.epoch, ended)
    tune_config = tune.TuneConfig(
        search_alg=make_searcher(config.space, config.seed),
        scheduler=make_scheduler(config.grace, config.reduction, config.max_epochs),
        num_samples=config.trials,
        reuse_actors=True,
        trial_dirname_creator=lambda trial: str(trial.trial_id),
    )
    _fit(planned, planned.base, tune_config, recorder, raw / "trials", config.cpus_per_trial)
    count = sum(record.status != results.INTERRUPTED for record in recorder.records)
    return recorder, count < config.trials


def _train_incumbent(planned: Plan, raw: Path, bar: Any) -> TrialRecord | None:
    """Train the incumbent once, on all cores, by the same path as a trial; None if it did not even start."""
    recipe = planned.incumbent
    show = progress.incumbent_bar(bar, planned.config.incumbent, recipe.trainer.epochs)
    # The incumbent stops when its patience runs out: whenever it ends well, it is complete.
    recorder = Recorder(1, show, lambda *_: None)
    tune_config = tune.TuneConfig(num_samples=1, trial_dirname_creator=lambda trial: str(trial.trial_id))
    cores = int(ray.cluster_resources()["CPU"])  # type: ignore[no-untyped-call]
    six = preset.load(planned.config.incumbent).hyperparameters.model_dump()
    _fit(planned, recipe, tune_config, recorder, raw / "incumbent", max(cores, planned.config.cpus_per_trial), six)
    return recorder.records[0] if recorder.records else None


def _fit(
    planned: Plan,
    base: TrainingConfig,
    tune_config: tune.TuneConfig,
    recorder: Recorder,
    raw: Path,
    cpus: int,
    fixed: dict[str, Any] | None = None,
) -> None:
    """Hand trials to Ray Tune and wait until they have ended."""
    device = resolve_device(planned.config.device).type
    job = TrialJob(base=base, device="cuda" if device == "cuda" else "cpu", threads=cpus)
    request = {"cpu": float(cpus), "gpu": planned.config.gpus_per_trial if device == "cuda" else 0.0}
    trainable = tune.with_parameters(TrainingTrial, job=job, dataset=planned.dataset)
    tuner = tune.Tuner(
        tune.with_resources(trainable, request),
        param_space=fixed or {},
        tune_config=tune_config,
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
    planned: Plan, records: list[TrialRecord], incumbent: TrialRecord | None, interrupted: bool, started: datetime
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
            name: metrics.evaluate(dataset.labels[dataset.val], probabilities)
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
    last = incumbent.epochs[-1] if incumbent and incumbent.status == results.COMPLETE else None
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
