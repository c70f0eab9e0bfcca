"""The ledger: which stretches of time confirmations have looked at, a line each, over all campaigns of a folder.

A test span can be read once. Whoever reads it again, with another campaign, knows more than the figures say. The
synthetic market is not written down: it can be made anew at will.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import ConfigError

LEDGER_FILE = "ledger.jsonl"


@dataclass(frozen=True)
class Look:
    """What one confirmation looks at; times in ISO 8601.

    Attributes:
        campaign: its name.
        started: when the campaign was, which tells two of one name apart.
        exchange: where the bars are from; empty where it is not known.
        symbols: which.
        interval: length of a bar.
        val: start and end of the span that chose the winner.
        test: start and end of the span that is read once.
        trials: how many the search asked for.
    """

    campaign: str
    started: str
    exchange: str
    symbols: list[str]
    interval: str
    val: list[str]
    test: list[str]
    trials: int

    def overlaps(self, other: Look) -> dict[str, bool]:
        """Whether the other's val or test shares time with this one's test, for a symbol that both have.

        Neither the exchange nor the interval makes it another market: prices move together.
        """
        shared = bool(set(self.symbols) & set(other.symbols))
        return {
            "val": shared and _meet(self.test, other.val),
            "test": shared and _meet(self.test, other.test),
        }


def _meet(one: list[str], other: list[str]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def earlier(looks: list[Look], mine: Look) -> list[dict[str, Any]]:
    """Of the looks before this one, those that saw something of its test span; with what they saw of it."""
    found = []
    for look in looks:
        if (look.campaign, look.started) == (mine.campaign, mine.started):
            break  # what follows came later
        overlap = mine.overlaps(look)
        if any(overlap.values()):
            found.append({**asdict(look), "saw": [part for part, seen in overlap.items() if seen]})
    return found


def record(path: Path, mine: Look) -> list[Look]:
    """Write down a look, once, before it is taken; returns all there are.

    Raises:
        ConfigError: the ledger is damaged or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            looks = _parse(path, file.read())
            if (mine.campaign, mine.started) not in [(look.campaign, look.started) for look in looks]:
                file.write(json.dumps(asdict(mine)) + "\n")
                file.flush()
                os.fsync(file.fileno())
                looks.append(mine)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})", "Check the folder's permissions") from None
    return looks


def _parse(path: Path, text: str) -> list[Look]:
    try:
        return [Look(**json.loads(line)) for line in text.splitlines()]
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path} is damaged ({error})", "Restore it from a copy: it says which data were looked at"
        ) from None
