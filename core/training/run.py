"""One training from data to files, as a function; the commands and the search stand on this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from scipy.special import softmax

from core import __version__
from core.config import DataConfig, Device, TrainingConfig
from core.data import summary
from core.data.dataset import Dataset
from core.data.summary import describe_data
from core.errors import ConfigError
from core.evaluation import curves, metrics, report
from core.evaluation.calibration import Calibration
from core.evaluation.checklist import CONFIDENCE, ChecklistLine, make_checklist
from core.evaluation.diagnosis import Diagnosis, diagnose
from core.evaluation.history import EpochResult, cross_fitted_scores
from core.files import check_writable, write_json
from core.inference import TrainedModel
from core.training.device import resolve_device
from core.training.trainer import Trainer

CHECKPOINT_FILE = "checkpoint.pt"
METRICS_FILE = "metrics.json"
CURVES_FILE = "curves.png"
HELD_OUT_NOTE = "val chose the epoch, so its figures are optimistic; test was not read"
FINAL_NOTE = "trained on all rows: no held-out figure exists, and the probabilities are not calibrated"


@dataclass(frozen=True)
class TrainingResult:
    """What a training came to.

    Attributes:
        history: one result an epoch.
        best: the epoch whose weights were kept.
        trained: the model with its best weights.
        findings: what was found on val; empty if nothing was held out.
        checklist: the recipe and the findings, held against the guide and our gates.
        diagnoses: what went wrong, if anything did.
        interrupted: whether it was stopped by hand.
        files: what was written.
    """

    history: list[EpochResult]
    best: EpochResult
    trained: TrainedModel
    findings: dict[str, Any]
    checklist: list[ChecklistLine]
    diagnoses: list[Diagnosis]
    interrupted: bool
    files: list[Path]


def check_output(folder: Path, overwrite: bool) -> None:
    """Make sure, before training, that its outcome can be written.

    Raises:
        ConfigError: the folder holds another outcome or cannot be written.
    """
    check_writable(folder)
    taken = [name for name in (CHECKPOINT_FILE, METRICS_FILE, CURVES_FILE) if (folder / name).exists()]
    if taken and not overwrite:
        raise ConfigError(f"{folder} already holds {' and '.join(taken)}", "Choose another folder, or add --overwrite")


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
    """Train, and write the best weights, the metrics and the curves.

    Ctrl-C after the first epoch ends the training early; what it reached is written and marked.

    Args:
        config: the whole recipe.
        data: the settings that the dataset was made with.
        dataset: what to train on; its test rows are not read. Without val rows, the last epoch is kept.
        output: folder for the checkpoint, the metrics and the picture.
        device: where to train.
        stop_after: most epochs to run; the schedule stays that of the recipe's epochs.
        about: what the files should tell beside the metrics (preset).
        on_epoch: called after each epoch.

    Raises:
        ConfigError: the batch is too large, or the folder cannot be written.
        NonFiniteLossError: the training diverged.
    """
    seen = dataset.without_test()  # a trade of the last val row would leave at the first price of test
    trainer = Trainer(config, seen, resolve_device(device))
    history, interrupted = _run(trainer, stop_after, on_epoch)
    described = {"version": __version__, "training": config.model_dump(mode="json"), **(about or {})}
    described |= {"data": describe_data(dataset), "interrupted": interrupted}
    trained = TrainedModel.of(
        dataset,
        config,
        data,
        weights=trainer.best_weights,
        calibration=None,
        findings={},
        about={**described, "epoch": history[-1].best_epoch},
    )
    trained.save(output / CHECKPOINT_FILE)  # what is measured below takes a while, in which much can happen
    if len(seen.val):
        calibration, findings = evaluate_training(seen, trainer, history)
        trained = replace(trained, calibration=calibration, findings=findings)
        trained.save(output / CHECKPOINT_FILE)
    return _write(output, trained, history, described)


def _run(
    trainer: Trainer, stop_after: int | None, on_epoch: Callable[[EpochResult], None]
) -> tuple[list[EpochResult], bool]:
    """A result an epoch, and whether Ctrl-C ended it; before the first epoch it passes through."""
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


def _write(
    output: Path, trained: TrainedModel, history: list[EpochResult], described: dict[str, Any]
) -> TrainingResult:
    """Hold the training against checklist and troubleshooting; write the metrics and the picture."""
    config, findings, calibration = trained.config, trained.findings, trained.calibration
    lines, diagnoses = make_checklist(config, findings), diagnose(config, history, findings)
    best = history[history[-1].best_epoch - 1]
    files = [output / name for name in (CHECKPOINT_FILE, METRICS_FILE, CURVES_FILE)]
    content = {
        **described,
        "epochs": len(history),
        "best_epoch": best.epoch,
        "note": HELD_OUT_NOTE if findings else FINAL_NOTE,
        **findings,
        "calibration": asdict(calibration) if calibration else None,
        "checklist": [line.as_row() for line in lines],
        "diagnoses": [each.as_row() for each in diagnoses],
        "history": [result.as_row() for result in history],
    }
    write_json(files[1], content)
    _draw(files[2], config, described["data"], history, findings)
    return TrainingResult(history, best, trained, findings, lines, diagnoses, described["interrupted"], files)


def evaluate_training(
    dataset: Dataset, trainer: Trainer, history: list[EpochResult]
) -> tuple[Calibration, dict[str, Any]]:
    """The calibration of the best weights, and what is found of them on val: see `core.evaluation.checklist.Findings`.

    The trainer's model has its best weights afterwards.
    """
    assert trainer.best is not None  # an epoch has run
    best = trainer.evaluate_best()
    whole, by_halves = report.evaluate_baselines(dataset, dataset.val)
    chosen_elsewhere = cross_fitted_scores(history, trainer.config.trainer.metric) if history[0].halves else {}
    return best.calibration, {
        "val": trainer.best.best_metrics,
        "val_cross_fitted": chosen_elsewhere,
        "val_yardsticks": whole,
        "val_yardsticks_by_halves": by_halves,
        "val_report": report.make_evaluation_report(dataset, dataset.val, softmax(best.val_logits, axis=1)),
        "provable_direction_auc": summary.provable_direction_auc(dataset, dataset.val, CONFIDENCE),
        "gap": {"val_loss": best.val_loss, "train_loss": best.train_loss, "gap": best.gap},
    }


def _draw(
    path: Path, config: TrainingConfig, data: dict[str, Any], history: list[EpochResult], findings: dict[str, Any]
) -> None:
    metric = config.trainer.metric
    start, end = (edge[:10] for edge in data["span"])
    title = f"{'synthetic data: ' if data['synthetic'] else ''}{', '.join(data['symbols'])} {start} to {end}"
    yardsticks = findings.get("val_yardsticks", {})
    ranked = {name: metrics.ranking_score(scores, metric) for name, scores in yardsticks.items()}
    curves.draw_curves(path, title, metric, history, ranked)
