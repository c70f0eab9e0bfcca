"""Judges recorded verdicts by what the ledger holds now: it may have been joined with that of another machine since."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from core.errors import ConfigError
from search.results import ledger
from search.results.folder import CONFIG_FILE, LEDGER_FILE, CampaignFolder
from search.results.ledger_entry import LedgerEntry
from search.results.verdict import Verdict

EARLIER_READINGS_GATE = "earlier readings of this test span"
"""Name of the gate that an overlapping reading fails."""


def read_judged_verdict(folder: CampaignFolder) -> Verdict | None:
    """Read the verdict of a campaign as the ledger lets it stand today; None if there is none.

    Args:
        folder: the folder of the campaign.

    Raises:
        ConfigError: the verdict or the ledger is damaged.
    """
    verdict = folder.read_verdict()
    return verdict and judge_again(verdict, ledger.read_entries(folder.ledger))


def judge_again(verdict: Verdict, entries: Sequence[LedgerEntry]) -> Verdict:
    """Judge a verdict by what the ledger holds now: it may have been joined with that of another machine since.

    Args:
        verdict: the verdict as it was made.
        entries: all entries of the ledger.

    Returns:
        the verdict; not certified if another campaign had read some of its test span before.
    """
    entry = verdict.ledger_entry
    if entry is None:
        return verdict
    earlier = ledger.earlier_overlapping(list(entries), entry)
    known = {other.key for other in verdict.earlier_entries}
    found = [other for other in earlier if other.key not in known]
    if not found:
        return verdict
    readings = (*verdict.earlier_entries, *found)
    gates = tuple(
        gate.model_copy(update={"value": len(readings), "verdict": "fail"})
        if gate.name == EARLIER_READINGS_GATE
        else gate
        for gate in verdict.gates
    )
    return verdict.model_copy(update={"status": "not certified", "gates": gates, "earlier_entries": readings})


def find_contested(root: Path) -> list[tuple[str, str]]:
    """Find the campaigns whose verdict was certified when it was made, and is no longer.

    Args:
        root: folder of all campaigns.

    Returns:
        the campaign's name, and that of the campaign which had read some of its test span before.

    Raises:
        ConfigError: the ledger is damaged.
    """
    entries = ledger.read_entries(root / LEDGER_FILE)
    contested = []
    for file in sorted(root.glob(f"*/{CONFIG_FILE}")):
        with suppress(ConfigError):
            folder = CampaignFolder(file.parent)
            verdict = folder.read_verdict()
            if verdict is not None and verdict.status == "certified":
                judged = judge_again(verdict, entries)
                if judged.status != "certified":
                    contested.append((folder.name, judged.earlier_entries[-1].campaign))
    return contested
