"""Runs a whole training from dataset to files; the commands and the search are built on this."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core import __version__
from core.config import DataConfig, Device, TrainingConfig, flatten
from core.data import summary
from core.data.dataset import Dataset
from core.data.summary import describe_data
from core.errors import ConfigError
from core.evaluation import curves, metrics, report
from core.evaluation.block_bootstrap import Interval, minimum_block_length
from core.evaluation.checklist import CONFIDENCE, ChecklistLine, make_checklist
from core.evaluation.decision import HALF_LIFE, DecisionRule
from core.evaluation.diagnosis import Diagnosis, diagnose
from core.evaluation.history import EpochResult, cross_fitted_scores
from core.evaluation.lead import macro_f1_lead
from core.files import check_writable, write_json
from core.inference import TrainedModel
from core.training.best_epoch import BestEpochEvaluation
from core.training.device import resolve_device
from core.training.trainer import Trainer

CHECKPOINT_FILE = "checkpoint.pt"
METRICS_FILE = "metrics.json"
CURVES_FILE = "curves.png"
HELD_OUT_NOTE = "val chose the epoch, so its figures are optimistic; test was not read"
TRAINED, MEASURED, FINAL = "trained", "measured", "final"
"""States of a model that its checkpoint records: not yet measured on val, measured on val, trained on all rows."""
UNMEASURED_NOTE = "the training was interrupted before it was measured on val: train it again for its figures"
FINAL_NOTE = "trained on all rows: no held-out figure exists, and the probabilities are not calibrated"


@dataclass(frozen=True)
class TrainingResult:
    """Holds the result of a training.

    Attributes:
        history: the results of all epochs, in their order.
        best: the result of the epoch whose weights were kept.
        trained: the model with the weights of that epoch.
        findings: the measurements on val, see `core.evaluation.checklist.Findings`; empty if nothing was held out.
        checklist: the recipe and the findings, compared with the guide's bounds and this project's gates.
        diagnoses: the troubles that the history and the findings show; empty if there are none.
        interrupted: whether Ctrl-C ended the training early.
        files: the files written: checkpoint, metrics, curves.
    """

    history: list[EpochResult]
    best: EpochResult
    trained: TrainedModel
    findings: dict[str, Any]
    checklist: list[ChecklistLine]
    diagnoses: list[Diagnosis]
    interrupted: bool
    files: list[Path]


def check_output(
    folder: Path, overwrite: bool, files: Sequence[str] = (CHECKPOINT_FILE, METRICS_FILE, CURVES_FILE)
) -> None:
    """Check, before training, that its result can be written.

    Args:
        folder: folder for the files; it need not exist.
        overwrite: whether the result of an earlier training may be replaced.
        files: names of the files that will be written.

    Raises:
        ConfigError: the folder holds the result of another training or cannot be written.
    """
    check_writable(folder)
    existing = [name for name in files if (folder / name).exists()]
    if existing and not overwrite:
        raise ConfigError(
            f"{folder} already holds {' and '.join(existing)}", "Choose another folder, or add --overwrite"
        )


def train_model(
    config: TrainingConfig,
    data: DataConfig,
    dataset: Dataset,
    output: Path,
    *,
    device: Device = "auto",
    stop_after: int | None = None,
    about: dict[str, Any] | None = None,
    on_epoch: Callable[[EpochResult], None] = lambda _: None,
) -> TrainingResult:
    """Train a model, and write its best weights, its metrics and its curves.

    Ctrl-C after the first epoch ends the training early; what it reached is written, and marked as interrupted.

    Args:
        config: settings of the model, the loss, augmentation, balancing and the trainer.
        data: the settings that the dataset was made with.
        dataset: the dataset to train on; its test rows are not read. Without val rows, the last epoch is kept.
        output: folder for the checkpoint, the metrics and the curves.
        device: device to train on.
        stop_after: maximum number of epochs to run; the schedule stays that of the recipe's epochs.
        about: what both files say about the training beside its recipe, by key (preset).
        on_epoch: called with the result of each epoch.

    Returns:
        the result, as it was written.

    Raises:
        ConfigError: the dataset was made with other settings, the batch is too large, val does not define the ranking
            metric, or the folder cannot be written.
        NonFiniteLossError: the training diverged.
        NonFiniteOutputError: the model's predictions of val are not finite.
    """
    _check_settings(dataset, data)
    visible = dataset.without_test()  # a trade of the last val row would leave at the first price of test
    report.check_metric_is_defined(visible, config.trainer.metric)
    trainer = Trainer(config, visible, resolve_device(device))
    history, interrupted = _run_epochs(trainer, stop_after, on_epoch)
    has_val = len(visible.val) > 0
    trained = TrainedModel.from_dataset(
        dataset,
        config,
        data,
        weights=trainer.best_weights,
        forest=trainer.forest,
        calibration=None,
        rule=None if has_val else _rule_without_val(trainer, visible),
        findings={},
        about={},
    )
    description = {**_describe(trained, dataset, about or {}), "interrupted": interrupted}
    state = TRAINED if has_val else FINAL
    trained = replace(trained, about={**description, "epoch": history[-1].best_epoch, "state": state})
    trained.save(output / CHECKPOINT_FILE)  # before the evaluation: it takes a while and may be interrupted
    if has_val:
        trained = _measure(trained, visible, trainer, history)
        trained.save(output / CHECKPOINT_FILE)
    return _write_result(output, trained, history, description)


def _describe(trained: TrainedModel, dataset: Dataset, about: dict[str, Any]) -> dict[str, Any]:
    """Return what both files say about a training and its data."""
    return {
        "version": __version__,
        "training": trained.config.model_dump(mode="json"),
        **about,
        "data": describe_data(dataset),
        "data_config": trained.data.model_dump(mode="json", exclude_none=True),
    }


def _measure(trained: TrainedModel, dataset: Dataset, trainer: Trainer, history: list[EpochResult]) -> TrainedModel:
    """Return a trained model with what is fitted and measured on val; arguments as those of `evaluate_training`."""
    best, findings = evaluate_training(dataset, trainer, history)
    about = {**trained.about, "state": MEASURED}
    return replace(
        trained, forest=trainer.forest, calibration=best.calibration, rule=best.rule, findings=findings, about=about
    )


def _rule_without_val(trainer: Trainer, dataset: Dataset) -> DecisionRule:
    """Return a decision rule for a model of which nothing is held out: it needs no label.

    Probabilities that are not calibrated lean to some class throughout; what each is on average, here over the train
    rows of the last half-life, takes that out of the calls.
    """
    timestamps = dataset.timestamps[dataset.train]
    last = int(timestamps.max())
    rows = dataset.train[timestamps > last - HALF_LIFE]
    trainer.load_best()
    sell, hold, buy = trainer.probabilities(torch.from_numpy(rows).to(trainer.device)).mean(axis=0).tolist()
    return DecisionRule((sell, hold, buy), tilt=1.0, bar=dataset.bar, since=last)


def _check_settings(dataset: Dataset, data: DataConfig) -> None:
    """Check that a dataset was made with these settings: a checkpoint keeps them, to prepare what it predicts alike.

    Raises:
        ConfigError: a setting differs; the message names each that does.
    """
    ours, theirs = (flatten(config.model_dump(mode="json", exclude={"offline"})) for config in (data, dataset.config))
    names = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    if names:
        differences = "; ".join(f"{name} is {theirs.get(name)}, not {ours.get(name)}" for name in names)
        raise ConfigError(
            f"The dataset was made with other data settings than those given: {differences}",
            "Give those that it was made with (dataset.config), or load the dataset with these",
        )


def _run_epochs(
    trainer: Trainer, stop_after: int | None, on_epoch: Callable[[EpochResult], None]
) -> tuple[list[EpochResult], bool]:
    """Run the epochs; return their results, and whether Ctrl-C ended them. Before the first has ended it is raised."""
    history: list[EpochResult] = []
    try:
        for result in islice(trainer, stop_after):
            history.append(result)
            on_epoch(result)
    except KeyboardInterrupt:
        if not history:
            raise
        return history, True
    return history, False


def _write_result(
    output: Path, trained: TrainedModel, history: list[EpochResult], description: dict[str, Any]
) -> TrainingResult:
    """Make the checklist and the diagnoses of a training; write its metrics and its curves."""
    config, findings, calibration = trained.config, trained.findings, trained.calibration
    lines, diagnoses = make_checklist(config, findings), diagnose(config, history, findings)
    best = history[history[-1].best_epoch - 1]
    files = [output / name for name in (CHECKPOINT_FILE, METRICS_FILE, CURVES_FILE)]
    content = {
        **description,
        "epochs": len(history),
        "best_epoch": best.epoch,
        "note": HELD_OUT_NOTE if findings else FINAL_NOTE,
        **findings,
        "calibration": asdict(calibration) if calibration else None,
        "decision_rule": asdict(trained.rule) if trained.rule else None,
        "forest_weight": trained.forest.weight if trained.forest else None,
        "checklist": [line.as_row() for line in lines],
        "diagnoses": [trouble.as_row() for trouble in diagnoses],
        "history": [result.as_row() for result in history],
    }
    write_json(files[1], content)
    _draw_history(files[2], config, description["data"], history, findings)
    return TrainingResult(history, best, trained, findings, lines, diagnoses, description["interrupted"], files)


def evaluate_training(
    dataset: Dataset, trainer: Trainer, history: list[EpochResult]
) -> tuple[BestEpochEvaluation, dict[str, Any]]:
    """Calibrate the best weights of a training on val, and measure what they are worth there.

    The trainer's model has its best weights afterwards.

    Args:
        dataset: the dataset trained on, with val rows.
        trainer: the trainer, after at least one epoch.
        history: the results of all its epochs.

    Returns:
        what the best weights reach, with their calibration and decision rule; and the measurements by their key in the
        metrics file, see `core.evaluation.checklist.Findings`.
    """
    assert trainer.best is not None  # an epoch has run
    metric, val = trainer.config.trainer.metric, dataset.val
    best = trainer.evaluate_best()
    probabilities, decisions = best.val
    baselines, baselines_by_halves, baseline_calls = report.evaluate_baselines(dataset, val, metric)
    cross_fitted = cross_fitted_scores(history, metric) if history[0].halves else {}
    lead = macro_f1_lead(
        dataset.labels[val],
        decisions.calls,
        baseline_calls,
        dataset.timestamps[val],
        minimum_block_length(dataset.horizon, dataset.bar),
        np.random.default_rng(trainer.config.trainer.seed),
    )
    return best, {
        "val": trainer.best.best_metrics,
        "val_cross_fitted": cross_fitted,
        "val_baselines": baselines,
        "val_baselines_by_halves": baselines_by_halves,
        "val_lead": _cross_fitted_lead(lead, cross_fitted, baselines_by_halves),
        "val_report": report.make_evaluation_report(dataset, val, probabilities, decisions),
        "provable_direction_auc": summary.provable_direction_auc(dataset, val, CONFIDENCE),
        "gap": {"val_loss": best.val_loss, "train_loss": best.train_loss, "gap": best.gap},
    }


def _cross_fitted_lead(
    lead: Interval, cross_fitted: Mapping[str, float], baselines_by_halves: Mapping[str, float]
) -> dict[str, Any]:
    """Return the lead over the best baseline on rows that did not choose the epoch, for the findings.

    The calls of every epoch are not kept, so the width of the interval is that of the best epoch's calls.

    Args:
        lead: the lead of the best epoch's calls, which is too large by what choosing the epoch on them adds.
        cross_fitted: the model's scores on rows that did not choose the epoch; empty where val cannot be halved.
        baselines_by_halves: each baseline's macro-F1 on the same halves.

    Returns:
        `over`, the best baseline; `value`, `low` and `high`, of which the bounds are None where val is too short; empty
        where val cannot be halved.
    """
    if not cross_fitted:
        return {}
    best = max(baselines_by_halves, key=lambda name: baselines_by_halves[name])
    interval = lead.moved_to(cross_fitted["macro_f1"] - baselines_by_halves[best])
    bounds = {name: value if math.isfinite(value) else None for name, value in interval.as_row().items()}
    return {"over": best, **bounds}


def _draw_history(
    path: Path, config: TrainingConfig, data: dict[str, Any], history: list[EpochResult], findings: dict[str, Any]
) -> None:
    """Draw the curves of a training under a title that names its data."""
    metric = config.trainer.metric
    first_day, last_day = (instant[:10] for instant in data["span"])
    title = f"{'synthetic data: ' if data['synthetic'] else ''}{', '.join(data['symbols'])} {first_day} to {last_day}"
    baselines = findings.get("val_baselines", {})
    baseline_scores = {name: metrics.ranking_score(scores, metric) for name, scores in baselines.items()}
    curves.draw_curves(path, title, metric, history, baseline_scores)
