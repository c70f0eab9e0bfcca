"""From a campaign's folder to a preset file: a pure function, which computes no figure."""

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

_DIGITS = 6


class NothingToExportError(ConfigError):
    """A campaign's folder is as it should be, but gives no preset: it is a copy, or has no winner."""


def make_preset(folder: CampaignFolder, name: str) -> Preset:
    """The preset of a campaign: of its confirmed winner, or of the best trial, marked as not confirmed.

    Args:
        folder: the folder of a concluded campaign.
        name: the name of the preset.

    Raises:
        NothingToExportError: the campaign has no winner, or bears another name than its folder.
        ConfigError: its files are not what they were.
    """
    check_name(name)
    manifest.check_manifest(folder)
    record = folder.read_record()
    verdict = folder.read_verdict()
    trials = tables.ranked(folder.read_trials())
    if not trials:
        raise NothingToExportError(
            f"Campaign {folder.name} has no winner: no trial reached full fidelity", "Run it with more trials"
        )
    if record.name != folder.name:
        raise NothingToExportError(
            f"{folder.path} holds campaign {record.name!r}", "Give the folder the campaign's name"
        )
    with reading(folder.path):
        number = verdict["winner"]["trial"] if verdict else trials[0]["number"]
        row = {trial["number"]: trial for trial in trials}[number]
        return _assemble(name, row, record, verdict)


def _assemble(
    name: str,
    row: Mapping[str, Any],
    record: RecordedCampaign,
    verdict: Mapping[str, Any] | None,
) -> Preset:
    recipe, data = record.base_recipe, record.data
    status: Status = verdict["status"] if verdict else "not confirmed"
    what = "synthetic data" if data["synthetic"] else ", ".join(data["symbols"])
    settings = verdict["data"]["settings"] if verdict else {}
    kept = ("synthetic", "symbols", "span", "fingerprint", "window", "horizon", "bar")
    return Preset(
        name=name,
        description=f"Winner of campaign {record.name} on {what}; {status}.",
        hyperparameters=Hyperparameters(**{key: row[key] for key in HYPERPARAMETER_NAMES}),
        training=PresetTraining(
            schedule=recipe["trainer"]["schedule"],
            epochs=recipe["trainer"]["epochs"],
            patience=recipe["trainer"]["patience"],
            final_epochs=verdict["winner"]["final_epochs"] if verdict else None,
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
            data=parse(PresetData, {**{key: data[key] for key in kept}, "settings": settings}, record.name),
            versions=dict(record.versions),
            confirmation=_confirmation(verdict) if verdict else None,
        ),
    )


def _confirmation(verdict: Mapping[str, Any]) -> Confirmation:
    test, tradable = verdict.get("test"), verdict.get("tradable", {})
    overfitting = verdict.get("overfitting", {}).get("probability")
    return Confirmation(
        out_of_fold=_figure(verdict["winner"]["out_of_fold"][verdict["ranking_metric"]]),
        seeds=tuple(verdict["method"]["seeds"]),
        folds=verdict["method"]["folds"],
        incumbent=verdict["incumbent"]["preset"],
        lead=_figure(verdict["lead"]),
        recommended=verdict["recommended"],
        final_seed=verdict["final"]["seed"],
        test=Headline(
            **{key: _figure(test[key]) for key in ("macro_f1", "direction_auc", "lead")},
            best_baseline=test["lead"]["over"],
            rows=test["rows"],
        )
        if test
        else None,
        failed_gates=tuple(gate["name"] for gate in verdict["gates"] if gate["verdict"] != "pass"),
        earlier_readings=sum("test" in look["saw"] for look in verdict.get("earlier_looks", [])),
        tradable=tradable.get("verdict"),
        deflated_sharpe=_rounded(tradable.get("deflated_sharpe")),
        overfitting=_rounded(overfitting if isinstance(overfitting, float) else None),
    )


def _figure(row: Mapping[str, Any]) -> Figure:
    value, low, high = (_rounded(row[key]) for key in ("value", "low", "high"))
    return Figure(value=value, low=low, high=high)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
