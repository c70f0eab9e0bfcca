"""How far a campaign is, as its folder tells, whether it runs or not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from search.results.folder import VERDICT_FILE, CampaignFolder
from search.results.manifest import manifest_lists
from search.study.journal import ACT, JournalReader, is_held
from search.study.trial_record import COMPLETE, TrialRecord


@dataclass(frozen=True)
class CampaignStatus:
    """How far a campaign is.

    Attributes:
        name: the campaign's.
        phase: what it does, or how it ended, for people.
        trials: how many of each outcome; those that have none are `running`, or `unfinished` if nothing runs.
        left: trials that have not ended, of those asked for; another budget may end the campaign before.
        asked: trials asked for.
        epochs: of all trials.
        metric: ranks the trials.
        best: value and number of the best trial, at any fidelity; None before the first epoch.
        hours: that all runs of the search have taken.
        following: what to do next: command lines without the program's name.
    """

    name: str
    phase: str
    trials: dict[str, int]
    left: int
    asked: int
    epochs: int
    metric: str
    best: tuple[float, int] | None
    hours: float
    following: tuple[str, ...]

    def lines(self) -> list[str]:
        """The same for people, without what follows."""
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.trials.items())) or "none begun"
        best = "none yet" if self.best is None else f"{self.metric} {self.best[0]:.4f} (trial #{self.best[1]})"
        return [
            f"campaign {self.name}: {self.phase}",
            f"trials: {counts}; {self.left} of {self.asked} still to do",
            f"epochs: {self.epochs}",
            f"best: {best}",
            f"hours: {self.hours:.3f}",
        ]


def campaign_status(root: Path, name: str) -> CampaignStatus:
    """How far a campaign is.

    Args:
        root: folder of all campaigns.
        name: which.

    Raises:
        ConfigError: there is none of that name, or its files are damaged.
    """
    folder = CampaignFolder.find(root, name)
    config = folder.read_config()
    held = is_held(folder.journal)
    reader = JournalReader.open(folder.journal)
    trials = folder.read_journal()
    ended = sum(trial.outcome is not None for trial in trials)
    phase, following = _phase(folder, name, held, trials)
    values = [(trial.value, -trial.number) for trial in trials if trial.epochs and trial.value == trial.value]
    value, minus = max(values, default=(0.0, 0))
    return CampaignStatus(
        name=name,
        phase=phase,
        trials=dict(Counter(trial.outcome or ("running" if held else "unfinished") for trial in trials)),
        left=max(config.trials - ended, 0),
        asked=config.trials,
        epochs=sum(len(trial.epochs) for trial in trials),
        metric=config.metric,
        best=(value, -minus) if values else None,
        hours=_seconds(reader.lines) / 3600,
        following=following,
    )


def _seconds(lines: list[dict[str, Any]]) -> float:
    """What the last act that says so says that the campaign has taken."""
    acts = (line[ACT] for line in reversed(lines) if isinstance(line.get(ACT), dict))
    return float(next((act["at"] for act in acts if isinstance(act.get("at"), int | float)), 0.0))


def _phase(folder: CampaignFolder, name: str, held: bool, trials: list[TrialRecord]) -> tuple[str, tuple[str, ...]]:
    """Return what a campaign does, or how it ended; and the commands that follow."""
    resume, confirm = (f"resume {name}",), (f"confirm {name}",)
    finished = folder.finished_cells()
    if held:
        activity = f"being confirmed, {finished} trainings done" if folder.is_concluded else "running"
        return activity, (f"stop {name}",)
    if not folder.is_concluded:
        return "ended by a crash", resume
    verdict = folder.read_verdict()
    if verdict is not None and (manifest_lists(folder, VERDICT_FILE) or not folder.cells.exists()):
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
    try:
        return folder.read_end_reason()
    except ConfigError:
        return "unknown"
