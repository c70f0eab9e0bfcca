"""What a campaign came to, and `summary.json`, which says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.data.sources import synthetic
from core.evaluation import baselines
from core.evaluation.report import evaluate_rows
from core.files import write_json
from search.campaign.plan import CampaignPlan
from search.results import manifest, tables
from search.study.controller import Controller
from search.study.trial_record import COMPLETE, TrialRecord


@dataclass(frozen=True)
class CampaignSummary:
    """What a campaign came to; the content of `summary.json`.

    Attributes:
        winner: the winning row of the trials table, or None without a full-fidelity trial.
        incumbent: the incumbent's record.
        yardsticks: by name, metrics on val of what needs no network: the majority class and, on the
            synthetic market, one who knows its recipe.
        counts: trials by status.
        ended_by: which budget ran out (trials, hours, epochs, convergence), or stopped or interrupted.
        differences: epochs that were run again and came out otherwise.
        seconds: wall-clock time of this run.
        files: what was written.
    """

    winner: dict[str, Any] | None
    incumbent: TrialRecord
    yardsticks: dict[str, dict[str, float]]
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
    plan: CampaignPlan, controller: Controller, incumbent: TrialRecord, started: datetime
) -> CampaignSummary:
    """Choose the winner; write the tables of the full-fidelity trials and `summary.json`.

    Args:
        plan: the campaign.
        controller: as it was when the campaign ended.
        incumbent: its record.
        started: when this run began.
    """
    folder, trials = plan.folder, list(controller.study.trials.values())
    table = tables.make_trials_table(trials)
    gathered = tables.join_trial_outputs(folder, plan.storage, trials)
    written = [
        folder.config_file,
        folder.journal,
        folder.trials_table,
        folder.curves_table,
        folder.summary,
        folder.manifest,
    ]
    outcome = CampaignSummary(
        winner=tables.find_winner(table),
        incumbent=incumbent,
        yardsticks=_yardsticks(plan),
        counts={str(status): int(count) for status, count in table["status"].value_counts().items()},
        ended_by=_ended_by(controller, incumbent),
        differences=[said for trial in trials for said in trial.differences],
        seconds=(datetime.now(UTC) - started).total_seconds(),
        files=[*written, *gathered],
    )
    write_json(folder.summary, _summary(plan, outcome))
    manifest.write_manifest(folder)
    return outcome


def _ended_by(controller: Controller, incumbent: TrialRecord) -> str:
    if controller.end_reason == "stopped":
        return "stopped"
    whole = (
        controller.end_reason is not None
        and all(trial.outcome for trial in controller.study.trials.values())
        and incumbent.outcome
    )
    return str(controller.end_reason) if whole else "interrupted"


def _yardsticks(plan: CampaignPlan) -> dict[str, dict[str, float]]:
    dataset, data = plan.dataset, plan.config.data
    found = {"majority": baselines.majority(dataset, dataset.val)}
    returns_labelled = data.labels.kind != "triple_barrier" and not data.labels.volatility_scaled
    if data.synthetic is not None and synthetic.has_known_optimum(data.synthetic) and returns_labelled:
        found["bayes"] = baselines.bayes(dataset, data.synthetic, dataset.val)
    return {name: evaluate_rows(dataset, dataset.val, probabilities) for name, probabilities in found.items()}


def _summary(plan: CampaignPlan, outcome: CampaignSummary) -> dict[str, Any]:
    return {
        "dry_run": plan.config.dry_run,
        "ended_by": outcome.ended_by,
        "seconds": round(outcome.seconds, 1),
        "trials": outcome.counts,
        "ranking_metric": plan.config.metric,
        "note": "figures on val, which chose the winner: optimistic, not confirmed",
        "winner": outcome.winner,
        "incumbent": _incumbent(plan, outcome.incumbent),
        **{name: {"val": scores} for name, scores in outcome.yardsticks.items()},
        "differences": outcome.differences,
    }


def _incumbent(plan: CampaignPlan, trial: TrialRecord) -> dict[str, Any] | None:
    if trial.outcome != COMPLETE:
        return None
    return {
        "preset": plan.config.incumbent,
        "epochs": trial.last_epoch,
        "best_epoch": trial.last.best_epoch,
        "val": trial.best_metrics,
    }
