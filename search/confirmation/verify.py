"""Trains a confirmed preset once more, to see whether its recorded figures come out again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import pandas as pd
import torch
from scipy.special import softmax

from core import console
from core.config import SOURCES, DataConfig, Device, parse
from core.data.dataset import load_dataset
from core.data.sources.fetch import fetch_missing
from core.errors import ConfigError
from core.evaluation.report import evaluate_rows
from core.presets import Figure, Preset
from core.training.device import resolve_device
from core.training.trainer import Trainer


@dataclass(frozen=True)
class Verification:
    """What a second training came to.

    Attributes:
        figures: metric, what is recorded, and what came out now.
        same_data: whether the bars are those of the record.
    """

    figures: tuple[tuple[Literal["macro_f1", "direction_auc"], Figure, float], ...]
    same_data: bool

    @staticmethod
    def inside(figure: Figure, value: float) -> bool:
        """Whether a value lies in the recorded interval; without one, whether it is as recorded."""
        if figure.value is None:
            return math.isnan(value)
        if figure.low is None or figure.high is None:
            return math.isclose(value, figure.value, abs_tol=1e-4)
        return figure.low <= value <= figure.high


def verify_preset(preset: Preset, source: Mapping[str, Any], device: str, threads: int) -> Verification:
    """Train with the recorded seed on the recorded span, and read its test rows.

    Args:
        preset: a confirmed one.
        source: data settings that say where the bars lie.
        device: where to train.
        threads: CPU threads.

    Raises:
        ConfigError: the preset was not confirmed, or no bars are named.
        DataError: the bars cannot be used.
    """
    record = preset.provenance
    if record is None or record.confirmation is None or record.confirmation.test is None:
        raise ConfigError(
            f"Preset {preset.name} was not confirmed: it records no figure of test", "Confirm its campaign"
        )
    if record.dry_run:
        raise ConfigError(f"Preset {preset.name} is of a dry run", "Verify one of a whole campaign")
    config = _data(preset, source)
    fetch_missing(config)
    dataset = load_dataset(config)
    recipe = preset.training_config(
        size=record.model, metric=record.ranking_metric, seed=record.confirmation.final_seed
    )
    torch.set_num_threads(threads)
    trainer = Trainer(recipe, dataset, resolve_device(cast(Device, device)))
    with console.progress_bar() as bar:
        shown = bar.add_task(f"training {preset.name}", total=recipe.trainer.epochs)
        for _ in trainer:
            bar.advance(shown)
    trainer.load_best()
    rows = dataset.test
    probabilities = softmax(trainer.logits(torch.from_numpy(rows).to(trainer.device)), axis=1)
    now = evaluate_rows(dataset, rows, probabilities, ["macro_f1", "direction_auc"])
    test = record.confirmation.test
    return Verification(
        (("macro_f1", test.macro_f1, now["macro_f1"]), ("direction_auc", test.direction_auc, now["direction_auc"])),
        dataset.fingerprint == record.data.fingerprint,
    )


def _data(preset: Preset, source: Mapping[str, Any]) -> DataConfig:
    """The recorded settings over the bars named, cut to the recorded span."""
    assert preset.provenance is not None
    data = preset.provenance.data
    start, last = (pd.Timestamp(edge) for edge in data.span)
    settings = {**data.settings, **source}
    named = any(kind in source for kind in SOURCES)
    if data.synthetic and not named:
        return parse(DataConfig, settings, preset.name)
    settings.pop("synthetic", None)
    if not named:
        raise ConfigError(
            "No bars are named",
            f"Add --data FILE…, or --symbols {' '.join(data.symbols)} --store DIR; or --config, its campaign's file",
        )
    stop = last + pd.Timedelta(microseconds=data.bar or 0)
    settings |= {"until": stop.isoformat(), "days": (stop - start) / pd.Timedelta(days=1)}
    return parse(DataConfig, settings, preset.name)
