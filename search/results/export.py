"""Makes the preset of a campaign from its folder; every figure is one that the folder records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from core.config import HYPERPARAMETER_NAMES, Hyperparameters, ModelSize, RankingMetric, check_name, parse
from core.errors import ConfigError
from core.files import reading
from core.presets import (
    Confirmation,
    Figure,
    Headline,
    Preset,
    PresetAugmentation,
    PresetData,
    PresetTraining,
    Provenance,
    Status,
)
from search.results import manifest, tables
from search.results.folder import CampaignFolder, RecordedCampaign
from search.results.verdict import BaselineLead, Estimate, RankingLead, TestReading, Verdict

_DIGITS = 6
"""Decimal places of the figures in a preset."""


class NothingToExportError(ConfigError):
    """A campaign that gives no preset though its folder is undamaged: it has no winner, or the folder is a copy."""


def make_preset(folder: CampaignFolder, name: str) -> Preset:
    """Make the preset of a campaign: of its confirmed winner, or else of its best trial, marked as not confirmed.

    Args:
        folder: the folder of a concluded campaign.
        name: name of the preset to make.

    Raises:
        NothingToExportError: the campaign has no winner, or another name than its folder.
        ConfigError: a file of the campaign is missing, was changed or is damaged.
    """
    check_name(name)
    manifest.check_manifest(folder)
    record = folder.read_record()
    verdict = folder.read_verdict()
    trials = tables.rank_trials(folder.read_trials())
    if not trials:
        raise NothingToExportError(
            f"Campaign {folder.name} has no winner: no trial reached full fidelity", "Resume it with more --trials"
        )
    if record.name != folder.name:
        raise NothingToExportError(
            f"{folder.path} holds campaign {record.name!r}", "Give the folder the campaign's name"
        )
    with reading(folder.path):
        number = verdict.winner.trial if verdict else trials[0]["number"]
        row = {trial["number"]: trial for trial in trials}[number]
        return _assemble_preset(name, row, record, verdict)


def _assemble_preset(name: str, row: Mapping[str, Any], record: RecordedCampaign, verdict: Verdict | None) -> Preset:
    """Put the preset together.

    Args:
        name: name of the preset.
        row: the row of the trials table whose hyperparameters the preset gets.
        record: the facts of the campaign's file.
        verdict: the verdict of the confirmation; None if there was none.
    """
    recipe, data = record.base_recipe, record.data
    status: Status = verdict.status if verdict else "not confirmed"
    market = "synthetic data" if data["synthetic"] else ", ".join(data["symbols"])
    settings = verdict.data["settings"] if verdict else {}
    recorded_data = ("synthetic", "symbols", "span", "fingerprint", "window", "horizon", "bar")
    return Preset(
        name=name,
        description=f"Winner of campaign {record.name} on {market}; {status}.",
        hyperparameters=Hyperparameters(**{key: row[key] for key in HYPERPARAMETER_NAMES}),
        training=PresetTraining(
            schedule=recipe["trainer"]["schedule"],
            epochs=recipe["trainer"]["epochs"],
            patience=recipe["trainer"]["patience"],
            final_epochs=verdict.winner.final_epochs if verdict else None,
            label_smoothing=recipe["loss"]["label_smoothing"],
            augmentation=PresetAugmentation(**{key: recipe["augment"][key] for key in PresetAugmentation.model_fields}),
        ),
        provenance=Provenance(
            status=status,
            campaign=record.name,
            started=record.started,
            dry_run=record.dry_run,
            trial=row["number"],
            best_epoch=row["best_epoch"],
            ranking_metric=cast(RankingMetric, record.metric),
            val_value=round(row["value"], _DIGITS),
            model=cast(ModelSize, record.model),
            seed=record.seed,
            data=parse(PresetData, {**{key: data[key] for key in recorded_data}, "settings": settings}, record.name),
            versions=dict(record.versions),
            confirmation=_summarize_confirmation(verdict) if verdict else None,
        ),
    )


def _summarize_confirmation(verdict: Verdict) -> Confirmation:
    tradable, overfitting = verdict.tradable, verdict.overfitting
    probability = overfitting.probability if overfitting else None
    return Confirmation(
        out_of_fold=_round_figure(verdict.winner.out_of_fold[verdict.ranking_metric]),
        seeds=verdict.method.seeds,
        folds=verdict.method.folds,
        incumbent=verdict.incumbent.preset,
        lead=_round_figure(verdict.lead),
        recommended=verdict.recommended,
        final_seed=verdict.final.seed,
        test=_make_headline(verdict.test) if verdict.test else None,
        failed_gates=verdict.failed_gates,
        earlier_readings=verdict.earlier_readings,
        tradable=tradable.verdict if tradable else None,
        deflated_sharpe=_round(tradable.deflated_sharpe if tradable else None),
        overfitting=_round(probability if isinstance(probability, float) else None),
    )


def _make_headline(test: TestReading) -> Headline:
    return Headline(
        macro_f1=_round_figure(test.macro_f1),
        direction_auc=_round_figure(test.direction_auc),
        lead=_round_figure(test.lead),
        best_baseline=test.lead.baseline,
        rows=test.rows,
    )


def _round_figure(figure: Estimate | RankingLead | BaselineLead) -> Figure:
    return Figure(value=_round(figure.value), low=_round(figure.low), high=_round(figure.high))


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
