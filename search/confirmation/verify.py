"""Verifies a confirmed preset: trains it again, and compares the figures on test with the recorded ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

import torch
from scipy.special import softmax

from core import console
from core.config import Device
from core.errors import ConfigError
from core.evaluation.decision import decide
from core.evaluation.report import evaluate_rows
from core.presets import Figure, Preset
from core.training.device import resolve_device
from core.training.trainer import Trainer
from search.confirmation.recorded_data import load_recorded
from search.results import ledger
from search.results.folder import LEDGER_FILE, ROOT
from search.results.readings import preset_entry

_TOLERANCE = 0.01
"""How far a figure without an interval may be off: another number of threads alone has moved one by 0.003."""


@dataclass(frozen=True)
class Verification:
    """The figures of a second training beside the recorded ones.

    Attributes:
        figures: for each metric its name, the recorded figure, and the value of the second training.
    """

    figures: tuple[tuple[Literal["macro_f1", "direction_auc"], Figure, float], ...]

    @staticmethod
    def is_inside(figure: Figure, value: float) -> bool:
        """Return whether a value lies in the recorded interval, or near the recorded value if there is no interval.

        Args:
            figure: the recorded figure, with its interval if it has one.
            value: the value of the second training; NaN where it is not defined.
        """
        if figure.value is None:
            return math.isnan(value)
        if figure.low is None or figure.high is None:
            return math.isclose(value, figure.value, abs_tol=_TOLERANCE)
        return figure.low <= value <= figure.high


def verify_preset(
    preset: Preset, source: Mapping[str, Any], device: str, threads: int, ledger_path: Path = ROOT / LEDGER_FILE
) -> Verification:
    """Train a preset again with its recorded seed on its recorded span, and evaluate it on the test rows.

    The reading is recorded in the ledger first, because whoever sees these figures knows how the preset performs on its
    test span.

    Args:
        preset: the preset of a confirmed campaign.
        source: data settings that say where the bars lie; empty for a preset of the synthetic market.
        device: device to train on: `auto`, `cpu` or `cuda`.
        threads: number of CPU threads to train with.
        ledger_path: path of the ledger file.

    Raises:
        ConfigError: the preset was not confirmed or comes from a dry run, no bars are named, or the ledger cannot be
            written.
        OtherBarsError: the bars are not those that the preset was confirmed on.
        DataError: the bars cannot be used.
    """
    record = preset.provenance
    if record is None or record.confirmation is None or record.confirmation.test is None:
        raise ConfigError(
            f"Preset {preset.name} was not confirmed: it records no figures on test", "Confirm its campaign"
        )
    if record.dry_run:
        raise ConfigError(f"Preset {preset.name} comes from a dry run", "Verify a preset of a whole campaign")
    dataset = load_recorded(record.data, source, preset.name)
    entry = preset_entry(preset, datetime.now(UTC).isoformat(timespec="seconds"))
    if entry is not None:
        ledger.append_entry(ledger_path, replace(entry, kind="verification"))
    recipe = preset.training_config(
        size=record.model, metric=record.ranking_metric, seed=record.confirmation.final_seed
    )
    torch.set_num_threads(threads)
    trainer = Trainer(recipe, dataset, resolve_device(cast(Device, device)))
    with console.progress_bar() as bar:
        bar_task = bar.add_task(f"training {preset.name}", total=recipe.trainer.epochs)
        for _ in trainer:
            bar.advance(bar_task)
    fitted, rows = trainer.evaluate_best(), dataset.test
    logits = trainer.logits(torch.from_numpy(rows).to(trainer.device))
    decisions = decide(logits, dataset.timestamps[rows], fitted.calibration, fitted.rule)
    metrics = evaluate_rows(dataset, rows, softmax(logits, axis=1), decisions, ["macro_f1", "direction_auc"])
    recorded = record.confirmation.test
    return Verification(
        figures=(
            ("macro_f1", recorded.macro_f1, metrics["macro_f1"]),
            ("direction_auc", recorded.direction_auc, metrics["direction_auc"]),
        ),
    )
