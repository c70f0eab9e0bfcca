"""Makes the preset of a campaign from its folder; every figure is one that the folder records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from core.config import LossConfig, ModelSize, RankingMetric, check_name, recorded_recipe
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
from search.results import manifest
from search.results.folder import CampaignFolder
from search.results.judged import read_judged_verdict
from search.results.records import CampaignRecord, RankedTrial
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
    verdict = read_judged_verdict(folder)
    trials = folder.read_ranked_trials()
    if not trials:
        raise NothingToExportError(
            f"Campaign {folder.name} has no winner: no trial reached full fidelity", "Resume it with more --trials"
        )
    if record.name != folder.name:
        raise NothingToExportError(
            f"{folder.path} holds campaign {record.name!r}", "Give the folder the campaign's name"
        )
    trial = _find_confirmed(folder, trials, verdict) if verdict else trials[0]
    with reading(folder.config_file):
        return _assemble_preset(name, trial, record, verdict)


def _find_confirmed(folder: CampaignFolder, trials: Sequence[RankedTrial], verdict: Verdict) -> RankedTrial:
    """Return the trial that a verdict names as the winner; its hyperparameters must be those of the verdict."""
    winner = verdict.winner
    for trial in trials:
        hyperparameters = trial.hyperparameters.model_dump()
        if trial.number == winner.trial and winner.hyperparameters.items() <= hyperparameters.items():
            return trial
    raise ConfigError(
        f"{folder.verdict} names trial {winner.trial} as the winner, which {folder.trials_table} does not hold with "
        "these hyperparameters",
        "Restore the campaign's folder from a backup",
    )


def _assemble_preset(name: str, trial: RankedTrial, record: CampaignRecord, verdict: Verdict | None) -> Preset:
    """Put the preset together.

    Args:
        name: name of the preset.
        trial: the trial whose hyperparameters the preset gets.
        record: the facts of the campaign's file.
        verdict: the verdict of the confirmation; None if there was none.
    """
    recipe, data = recorded_recipe(record.base_recipe), record.data
    status: Status = verdict.status if verdict else "not confirmed"
    market = "synthetic data" if data.synthetic else ", ".join(data.symbols)
    return Preset(
        name=name,
        description=f"Winner of campaign {record.name} on {market}; {status}.",
        hyperparameters=trial.hyperparameters,
        training=PresetTraining(
            schedule=recipe["trainer"]["schedule"],
            epochs=recipe["trainer"]["epochs"],
            epoch_windows=recipe["trainer"]["epoch_windows"],
            patience=recipe["trainer"]["patience"],
            final_epochs=verdict.winner.final_epochs if verdict else None,
            loss=recipe["loss"].get("kind", LossConfig().kind),
            label_smoothing=recipe["loss"]["label_smoothing"],
            last_bar=recipe["model"]["last_bar"],
            forest=recipe["model"]["forest"],
            ema_decay=recipe["trainer"]["ema_decay"],
            augmentation=PresetAugmentation(**{key: recipe["augment"][key] for key in PresetAugmentation.model_fields}),
        ),
        provenance=Provenance(
            status=status,
            campaign=record.name,
            started=record.started,
            dry_run=record.dry_run,
            trial=trial.number,
            best_epoch=trial.best_epoch,
            ranking_metric=cast(RankingMetric, record.metric),
            val_value=round(trial.value, _DIGITS),
            model=cast(ModelSize, record.model),
            seed=record.seed,
            data=PresetData(
                synthetic=data.synthetic,
                symbols=data.symbols,
                span=data.span,
                fingerprint=data.fingerprint,
                window=data.window,
                horizon=data.horizon,
                bar=data.bar,
                settings=verdict.data.settings if verdict else data.settings,
            ),
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
        probabilistic_sharpe=_round(tradable.probabilistic_sharpe if tradable else None),
        overfitting=_round(probability if isinstance(probability, float) else None),
        neighbours=verdict.neighbours.word if verdict.neighbours else None,
    )


def _make_headline(test: TestReading) -> Headline:
    return Headline(
        macro_f1=_round_figure(test.macro_f1),
        direction_auc=_round_figure(test.direction_auc),
        lead=_round_figure(test.lead),
        lead_metric=cast(RankingMetric, test.lead.metric),
        best_baseline=test.lead.baseline,
        rows=test.rows,
    )


def _round_figure(figure: Estimate | RankingLead | BaselineLead) -> Figure:
    return Figure(value=_round(figure.value), low=_round(figure.low), high=_round(figure.high))


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
