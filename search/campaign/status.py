"""Reads from a campaign's folder how far it is, whether it is running or not."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from search.results.folder import VERDICT_FILE, CampaignFolder
from search.results.judged import read_judged_verdict
from search.results.manifest import check_manifest, manifest_lists
from search.study.journal.file import ACT, is_held, read_committed
from search.study.trial_record import COMPLETE, TrialRecord


@dataclass(frozen=True)
class CampaignStatus:
    """The progress of a campaign.

    Attributes:
        name: name of the campaign.
        phase: what the campaign is doing, or how it ended, in words for people.
        trials: number of trials by outcome; trials without one are `running`, or `unfinished` if no driver runs.
        remaining: number of requested trials that have not ended; another budget may end the campaign earlier.
        requested: number of trials that the settings ask for.
        epochs: number of epochs that all trials have run.
        metric: metric that ranks the trials.
        best: value and number of the best trial, at any fidelity; None before the first epoch.
        hours: wall-clock time that all runs of the search have taken.
        next_commands: what to do next, as command lines without the name of the program.
    """

    name: str
    phase: str
    trials: dict[str, int]
    remaining: int
    requested: int
    epochs: int
    metric: str
    best: tuple[float, int] | None
    hours: float
    next_commands: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the status as lines for people, without the next commands."""
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.trials.items())) or "none begun"
        best = "none yet" if self.best is None else f"{self.metric} {self.best[0]:.4f} (trial #{self.best[1]})"
        return [
            f"campaign {self.name}: {self.phase}",
            f"trials: {counts}; {self.remaining} of {self.requested} still to do",
            f"epochs: {self.epochs}",
            f"best: {best}",
            f"hours: {self.hours:.3f}",
        ]


def read_campaign_status(root: Path, name: str) -> CampaignStatus:
    """Read how far a campaign is, without disturbing a driver that runs it.

    Args:
        root: folder of all campaigns.
        name: name of the campaign.

    Raises:
        ConfigError: there is no such campaign, or a file of it is damaged.
    """
    folder = CampaignFolder.find(root, name)
    config = folder.read_config()
    is_running = is_held(folder.journal)
    lines, _ = read_committed(folder.journal)
    trials = folder.read_journal()
    ended = sum(trial.outcome is not None for trial in trials)
    phase, next_commands = _describe_phase(folder, is_running, trials)
    scored = [trial for trial in trials if trial.epochs and not math.isnan(trial.value)]
    best = max(scored, key=lambda trial: (trial.value, -trial.number), default=None)
    return CampaignStatus(
        name=name,
        phase=phase,
        trials=dict(Counter(trial.outcome or ("running" if is_running else "unfinished") for trial in trials)),
        remaining=max(config.trials - ended, 0),
        requested=config.trials,
        epochs=sum(len(trial.epochs) for trial in trials),
        metric=config.metric,
        best=None if best is None else (best.value, best.number),
        hours=_elapsed_seconds(lines) / 3600,
        next_commands=next_commands,
    )


def _elapsed_seconds(lines: list[dict[str, Any]]) -> float:
    """Return how long the search has taken, as the last entry of the journal with a time records it."""
    acts = (line[ACT] for line in reversed(lines) if isinstance(line.get(ACT), dict))
    return float(next((act["at"] for act in acts if isinstance(act.get("at"), int | float)), 0.0))


def _describe_phase(folder: CampaignFolder, is_running: bool, trials: list[TrialRecord]) -> tuple[str, tuple[str, ...]]:
    """Return what a campaign is doing or how it ended, and the commands to run next."""
    name = folder.name
    resume, confirm = (f"resume {name}",), (f"confirm {name}",)
    finished = folder.finished_cells()
    if is_running:
        activity = f"being confirmed, {finished} trainings done" if folder.is_concluded else "running"
        return activity, (f"stop {name}",)
    if not folder.is_concluded:
        return "ended by a crash", resume
    is_listed = manifest_lists(folder, VERDICT_FILE)
    if is_listed:
        check_manifest(folder, (VERDICT_FILE,))
    verdict = read_judged_verdict(folder)
    if verdict is not None and (is_listed or not folder.cells.exists()):
        return f"confirmed: {verdict.status}", (f"export {name} --as {folder.default_preset_name}",)
    if folder.cells.exists():
        return f"confirmation interrupted, {finished} trainings done", confirm
    end_reason = _end_reason(folder)
    if end_reason in ("stopped", "interrupted"):
        return end_reason, resume
    if not any(trial.outcome == COMPLETE for trial in trials):
        return "ended without a winner", (f"resume {name} --trials {2 * len(trials)}",)
    return f"searched (ended by: {end_reason})", confirm


def _end_reason(folder: CampaignFolder) -> str:
    """Return why the last run of the search ended; `unknown` where the summary cannot be read."""
    try:
        return folder.read_summary().ended_by
    except ConfigError:
        return "unknown"
