"""One training from data to files, as a function; the commands and the search stand on this."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from scipy.special import softmax

from core import __version__, baselines, checkpoint, evaluation, metrics
from core.config import Device, ModelSize, TrainingConfig
from core.dataset import Dataset
from core.errors import ConfigError
from core.files import check_writable, write_json
from core.trainer import Conclusion, EpochResult, Trainer, resolve_device

CHECKPOINT_FILE = "checkpoint.pt"
METRICS_FILE = "metrics.json"


def default_size(device: torch.device) -> ModelSize:
    """The model size that suits a device when none is named."""
    return "small" if device.type == "cuda" else "quick"


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        history: one result an epoch.
        best: the epoch whose weights were kept.
        majority: metrics of the majority class on the same val rows.
        interrupted: whether it was stopped by hand.
        files: what was written.
    """

    history: list[EpochResult]
    best: EpochResult
    majority: dict[str, float]
    interrupted: bool
    files: list[Path]


def check_output(folder: Path, overwrite: bool) -> None:
    """Make sure, before training, that its outcome can be written.

    Raises:
        ConfigError: the folder holds another outcome or cannot be written.
    """
    check_writable(folder)
    taken = [name for name in (CHECKPOINT_FILE, METRICS_FILE) if (folder / name).exists()]
    if taken and not overwrite:
        raise ConfigError(f"{folder} already holds {' and '.join(taken)}", "Choose another folder, or add --overwrite")


def train(
    config: TrainingConfig,
    dataset: Dataset,
    output: Path,
    *,
    device: Device = "auto",
    about: dict[str, Any] | None = None,
    on_epoch: Callable[[EpochResult], None] = lambda _: None,
) -> Outcome:
    """Train, and write the best weights and the metrics.

    Ctrl-C after the first epoch ends the training early; what it reached is written and marked.

    Args:
        config: the whole recipe.
        dataset: what to train on; its test rows are not read.
        output: folder for the checkpoint and metrics.
        device: where to train.
        about: what the metrics file should tell beside the metrics (preset, data).
        on_epoch: called after each epoch.

    Raises:
        ConfigError: the batch is too large, or the folder cannot be written.
        NonFiniteLossError: the training diverged.
    """
    trainer = Trainer(config, dataset, resolve_device(device))
    history: list[EpochResult] = []
    interrupted = False
    try:
        for result in trainer:
            history.append(result)
            on_epoch(result)
    except KeyboardInterrupt:
        if not history:
            raise
        interrupted = True
    best = trainer.best
    assert best is not None  # an epoch has run
    majority = metrics.evaluate(
        dataset.labels[dataset.val], baselines.majority(dataset, dataset.val), dataset.timestamps[dataset.val]
    )
    outcome = Outcome(history, best, majority, interrupted, [output / CHECKPOINT_FILE, output / METRICS_FILE])
    described = {"version": __version__, "training": config.model_dump(mode="json"), **(about or {})}
    data = describe_data(dataset)
    checkpoint.save(
        output / CHECKPOINT_FILE, {**described, "data": data, "epoch": best.epoch, "model": trainer.best_weights}
    )
    report = {**described, "data": data, **_findings(dataset.without_test(), trainer.conclude(), outcome)}
    write_json(output / METRICS_FILE, report)
    return outcome


def _findings(dataset: Dataset, conclusion: Conclusion, outcome: Outcome) -> dict[str, Any]:
    """What the metrics file says of the training and of its best weights on val.

    `dataset` is without its test rows: a trade of the last val rows would leave at the first price of test.
    """
    return {
        "interrupted": outcome.interrupted,
        "epochs": len(outcome.history),
        "best_epoch": outcome.best.epoch,
        "val": outcome.best.metrics,
        "val_majority": outcome.majority,
        "val_yardsticks": evaluation.yardsticks(dataset, dataset.val),
        "val_report": evaluation.report(dataset, dataset.val, softmax(conclusion.val_logits, axis=1)),
        "gap": {"val_loss": conclusion.val_loss, "train_loss": conclusion.train_loss, "gap": conclusion.gap},
        "calibration": asdict(conclusion.calibration),
        "note": "val chose the epoch, so its figures are optimistic; test was not read",
        "history": [result.as_row() for result in outcome.history],
    }


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """What a result should tell of its data, in plain values."""
    return {
        "synthetic": dataset.is_synthetic,
        "symbols": list(dataset.symbol_names),
        "span": list(dataset.span),
        "fingerprint": dataset.fingerprint,
        "window": dataset.window,
        "horizon": dataset.horizon,
        "features": list(dataset.feature_names),
        "rows": {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)},
    }
