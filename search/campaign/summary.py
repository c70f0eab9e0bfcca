"""Concludes a campaign's search: chooses the winner, and writes the tables of full fidelity and `summary.json`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from core.data.dataset import Dataset
from core.data.sources import synthetic
from core.evaluation import baselines
from core.evaluation.report import decide_rows, evaluate_rows
from core.files import write_json
from search.campaign.plan import CampaignPlan
from search.results import manifest, ranking, tables
from search.results.records import RankedTrial
from search.study.controller import Controller
from search.study.trial_record import COMPLETE, TrialRecord


@dataclass(frozen=True)
class CampaignSummary:
    """The results of a campaign's search, which `summary.json` records.

    Attributes:
        winner: the best full-fidelity trial; None if there is none.
        incumbent: the record of the incumbent's training; None if the search does not train it.
        baselines: metrics on val of predictions that need no network, by name: `majority` for the majority class and,
            on the synthetic market, `bayes` for predictions from the rule that generates it.
        counts: number of trials by status.
        ended_by: the budget that ran out (`trials`, `hours`, `epochs`, `convergence`), or `stopped` or `interrupted`.
        differences: descriptions of epochs that were run again with another result.
        seconds: wall-clock time of this run of the search.
        files: paths of the files that were written.
    """

    winner: RankedTrial | None
    incumbent: TrialRecord | None
    baselines: dict[str, dict[str, float]]
    counts: dict[str, int]
    ended_by: str
    differences: list[str]
    seconds: float
    files: list[Path]

    @property
    def unfinished(self) -> bool:
        """Whether the campaign was ended by hand, and can be resumed."""
        return self.ended_by in ("stopped", "interrupted")


def write_summary(
    plan: CampaignPlan, controller: Controller, incumbent: TrialRecord | None, started: datetime
) -> CampaignSummary:
    """Choose the winner, then write the tables of the full-fidelity trials, the summary and the manifest.

    Args:
        plan: the planned campaign, from `plan_campaign` or `plan_resume`.
        controller: the controller of the trials, after the last of them.
        incumbent: the record of the incumbent's training; None if the search does not train it.
        started: when this run of the search started.

    Raises:
        ConfigError: a table of a trial is missing or damaged, or the folder cannot be written.
        StorageError: the storage is not available.
    """
    folder, trials = plan.folder, list(controller.study.trials.values())
    table = tables.make_trials_table(trials)
    output_tables = tables.join_trial_outputs(folder, plan.storage, trials)
    files = [
        folder.config_file,
        folder.journal,
        folder.trials_table,
        folder.curves_table,
        folder.summary,
        folder.manifest,
        *output_tables,
    ]
    result = CampaignSummary(
        winner=ranking.find_winner(table),
        incumbent=incumbent,
        baselines=_evaluate_baselines(plan),
        counts={str(status): int(count) for status, count in table["status"].value_counts().items()},
        ended_by=_ended_by(controller, incumbent),
        differences=[difference for trial in trials for difference in trial.differences],
        seconds=(datetime.now(UTC) - started).total_seconds(),
        files=files,
    )
    write_json(folder.summary, _make_content(plan, result))
    manifest.write_manifest(folder)
    return result


def _ended_by(controller: Controller, incumbent: TrialRecord | None) -> str:
    """Return why the search ended; `interrupted` unless all trials and the incumbent have ended, too."""
    if controller.end_reason == "stopped":
        return "stopped"
    is_complete = (
        controller.end_reason is not None
        and all(trial.outcome for trial in controller.study.trials.values())
        and (incumbent is None or incumbent.outcome)
    )
    return str(controller.end_reason) if is_complete else "interrupted"


def _evaluate_baselines(plan: CampaignPlan) -> dict[str, dict[str, float]]:
    """Evaluate what needs no network on the rows that trials are ranked on: val, or the mean over all folds."""
    parts = [(fold, fold.test) for fold in plan.folds] or [(plan.dataset, plan.dataset.val)]
    by_part = [_baselines_on(plan, dataset, rows) for dataset, rows in parts]
    return {
        name: {metric: float(np.mean([scores[name][metric] for scores in by_part])) for metric in metrics}
        for name, metrics in by_part[0].items()
    }


def _baselines_on(plan: CampaignPlan, dataset: Dataset, rows: np.ndarray) -> dict[str, dict[str, float]]:
    data, metric = plan.config.data, plan.config.metric
    predictions = {"majority": baselines.majority(dataset, rows)}
    # The best predictions are known for labels of plain returns only.
    has_return_labels = data.labels.kind != "triple_barrier" and not data.labels.volatility_scaled
    if data.synthetic is not None and synthetic.has_known_optimum(data.synthetic) and has_return_labels:
        predictions["bayes"] = baselines.bayes(dataset, data.synthetic, rows)
    return {
        name: evaluate_rows(dataset, rows, probabilities, decide_rows(dataset, rows, probabilities, metric))
        for name, probabilities in predictions.items()
    }


def _make_content(plan: CampaignPlan, result: CampaignSummary) -> dict[str, Any]:
    """Make the content of `summary.json`."""
    return {
        "dry_run": plan.config.dry_run,
        "ended_by": result.ended_by,
        "seconds": round(result.seconds, 1),
        "trials": result.counts,
        "ranking_metric": plan.config.metric,
        "note": "figures on val, which chose the winner: optimistic, not confirmed",
        "winner": result.winner.row if result.winner else None,
        "incumbent": _describe_incumbent(plan, result.incumbent),
        **{name: {"val": metrics} for name, metrics in result.baselines.items()},
        "differences": result.differences,
    }


def _describe_incumbent(plan: CampaignPlan, trial: TrialRecord | None) -> dict[str, Any] | None:
    """Return the incumbent's part of the summary; None without a complete training."""
    if trial is None or trial.outcome != COMPLETE:
        return None
    return {
        "preset": plan.config.incumbent,
        "epochs": trial.last_epoch,
        "best_epoch": trial.last.best_epoch,
        "val": trial.best_metrics,
    }
