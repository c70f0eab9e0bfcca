"""From a campaign's folder to a preset file: a pure function, which computes no figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.config import HYPERPARAMETER_NAMES, Hyperparameters, check_name, parse
from core.errors import ConfigError
from core.files import read_yaml
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
from search.results.folder import CONFIG_FILE
from search.results.verdict import read_verdict

_DIGITS = 6


class NothingToExportError(ConfigError):
    """A campaign's folder is as it should be, but gives no preset: it is a copy, or has no winner."""


def make_preset(campaign: Path, name: str) -> Preset:
    """The preset of a campaign: of its confirmed winner, or of the best trial, marked as not confirmed.

    Args:
        campaign: the campaign's folder.
        name: the preset's name.

    Raises:
        NothingToExportError: the campaign has no winner, or bears another name than its folder.
        ConfigError: its files are not what they were.
    """
    check_name(name)
    manifest.check_manifest(campaign)
    content = read_yaml(campaign / CONFIG_FILE)
    verdict = read_verdict(campaign)
    trials = tables.ranked(tables.read_trials(campaign))
    if not trials:
        raise NothingToExportError(
            f"Campaign {campaign.name} has no winner: no trial reached full fidelity", "Run it with more trials"
        )
    try:
        if content["config"]["name"] != campaign.name:
            raise NothingToExportError(
                f"{campaign} holds campaign {content['config']['name']!r}", "Give folder and campaign one name"
            )
        number = verdict["winner"]["trial"] if verdict else trials[0]["number"]
        row = next(row for row in trials if row["number"] == number)
        return _assemble(name, row, content["config"], content["resolved"], verdict)
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        raise ConfigError(
            f"The files of {campaign} are damaged ({' '.join(repr(error).split())})", "Bring them back from a copy"
        ) from None


def _assemble(
    name: str,
    row: Mapping[str, Any],
    config: Mapping[str, Any],
    resolved: Mapping[str, Any],
    verdict: Mapping[str, Any] | None,
) -> Preset:
    recipe, data = resolved["base_recipe"], resolved["data"]
    status: Status = verdict["status"] if verdict else "not confirmed"
    what = "synthetic data" if data["synthetic"] else ", ".join(data["symbols"])
    settings = verdict["data"]["settings"] if verdict else {}
    kept = ("synthetic", "symbols", "span", "fingerprint", "window", "horizon", "bar")
    return Preset(
        name=name,
        description=f"Winner of campaign {config['name']} on {what}; {status}.",
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
            campaign=config["name"],
            started=resolved.get("started"),
            dry_run=config["dry_run"],
            trial=row["number"],
            best_epoch=row["best_epoch"],
            ranking_metric=config["metric"],
            val_value=round(row["value"], _DIGITS),
            model=config["model"],
            seed=config["seed"],
            data=parse(PresetData, {**{key: data[key] for key in kept}, "settings": settings}, config["name"]),
            versions=resolved["versions"],
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
