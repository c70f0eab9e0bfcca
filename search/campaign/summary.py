"""What a campaign came to, and `summary.json`, which says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.data.sources import synthetic
from core.evaluation import baselines, metrics
from core.files import write_json
from search.campaign.plan import CampaignPlan
from search.results import manifest, tables
from search.results.folder import CONFIG_FILE, CURVES_FILE, JOURNAL_FILE, MANIFEST_FILE, SUMMARY_FILE, TRIALS_FILE
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
    planned: CampaignPlan, book: Controller, incumbent: TrialRecord, started: datetime
) -> CampaignSummary:
    """Choose the winner; write the tables of the full-fidelity trials and `summary.json`.

    Args:
        planned: the campaign.
        book: as it was when the campaign ended.
        incumbent: its record.
        started: when this run began.
    """
    folder, logs = planned.folder, list(book.study.trials.values())
    trials = tables.trials_table(logs)
    gathered = tables.gather(folder, planned.storage, logs)
    names = (
        CONFIG_FILE, JOURNAL_FILE, TRIALS_FILE, CURVES_FILE, SUMMARY_FILE,
        MANIFEST_FILE,
    )  # fmt: skip
    outcome = CampaignSummary(
        winner=tables.winner(trials),
        incumbent=incumbent,
        yardsticks=_yardsticks(planned),
        counts={str(status): int(count) for status, count in trials["status"].value_counts().items()},
        ended_by=_ended_by(book, incumbent),
        differences=[said for log in logs for said in log.differences],
        seconds=(datetime.now(UTC) - started).total_seconds(),
        files=[*(folder / name for name in names), *gathered],
    )
    write_json(folder / SUMMARY_FILE, _summary(planned, outcome))
    manifest.write_manifest(folder)
    return outcome


def _ended_by(book: Controller, incumbent: TrialRecord) -> str:
    if book.ending == "stopped":
        return "stopped"
    whole = book.ending is not None and all(log.outcome for log in book.study.trials.values()) and incumbent.outcome
    return str(book.ending) if whole else "interrupted"


def _yardsticks(planned: CampaignPlan) -> dict[str, dict[str, float]]:
    dataset, data = planned.dataset, planned.config.data
    found = {"majority": baselines.majority(dataset, dataset.val)}
    returns_labelled = data.labels.kind != "triple_barrier" and not data.labels.volatility_scaled
    if data.synthetic is not None and synthetic.has_known_optimum(data.synthetic) and returns_labelled:
        found["bayes"] = baselines.bayes(dataset, data.synthetic, dataset.val)
    labels, times = dataset.labels[dataset.val], dataset.timestamps[dataset.val]
    return {name: metrics.evaluate(labels, probabilities, times) for name, probabilities in found.items()}


def _summary(planned: CampaignPlan, outcome: CampaignSummary) -> dict[str, Any]:
    return {
        "dry_run": planned.config.dry_run,
        "ended_by": outcome.ended_by,
        "seconds": round(outcome.seconds, 1),
        "trials": outcome.counts,
        "ranking_metric": planned.config.metric,
        "note": "figures on val, which chose the winner: optimistic, not confirmed",
        "winner": outcome.winner,
        "incumbent": _incumbent(planned, outcome.incumbent),
        **{name: {"val": scores} for name, scores in outcome.yardsticks.items()},
        "differences": outcome.differences,
    }


def _incumbent(planned: CampaignPlan, log: TrialRecord) -> dict[str, Any] | None:
    if log.outcome != COMPLETE:
        return None
    return {
        "preset": planned.config.incumbent,
        "epochs": log.last_epoch,
        "best_epoch": log.epochs[log.last_epoch].row["best_epoch"],
        "val": log.best_metrics,
    }
