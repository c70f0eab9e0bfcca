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
from search.results.folder import LEDGER_FILE, VERDICT_FILE

_RESTORE = "Restore it from a copy: it says which data were looked at"


@dataclass(frozen=True)
class LedgerEntry:
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
        reads: hash of the training that is read on test: another one is another reading.
    """

    campaign: str
    started: str
    exchange: str
    symbols: list[str]
    interval: str
    val: list[str]
    test: list[str]
    trials: int
    reads: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two looks the same: gone on with after an interruption, one reads what it would have read."""
        return self.campaign, self.started, self.reads

    def overlaps(self, other: LedgerEntry) -> dict[str, bool]:
        """Whether the other's val or test shares time with this one's test, for a symbol that both have.

        Neither the exchange nor the interval makes it another market: prices move together.
        """
        shared = bool(set(self.symbols) & set(other.symbols))
        return {
            "val": shared and _overlap(self.test, other.val),
            "test": shared and _overlap(self.test, other.test),
        }


def _overlap(one: list[str], other: list[str]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def earlier_overlapping(looks: list[LedgerEntry], mine: LedgerEntry) -> list[dict[str, Any]]:
    """Of the looks before this one, those that saw something of its test span; with what they saw of it."""
    found = []
    for look in looks:
        if look.key == mine.key:
            break  # what follows came later
        overlap = mine.overlaps(look)
        if any(overlap.values()):
            found.append({**asdict(look), "saw": [part for part, seen in overlap.items() if seen]})
    return found


def append_entry(path: Path, mine: LedgerEntry) -> list[LedgerEntry]:
    """Write down a look, once, before it is taken; returns all there are.

    Raises:
        ConfigError: the ledger is damaged, lacks a look that a verdict beside it tells of or tells otherwise of it,
            or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            content = _without_torn_line(file.read())
            looks = _parse(path, content)
            _check_whole(path, looks)
            if mine.key in [look.key for look in looks]:
                _check_line(path, looks, mine, path.parent / mine.campaign)
            else:
                file.truncate(len(content))
                end = b"" if not content or content.endswith(b"\n") else b"\n"
                file.write(end + json.dumps(asdict(mine)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                looks.append(mine)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})", "Check the folder's permissions") from None
    return looks


def has_read_test(path: Path, campaign: str, started: str) -> bool:
    """Whether a campaign has looked at its test span.

    Raises:
        ConfigError: the ledger is damaged.
    """
    looks = _parse(path, _without_torn_line(path.read_bytes())) if path.is_file() else []
    return any((look.campaign, look.started) == (campaign, started) for look in looks)


def of_campaign(path: Path, campaign: str) -> str:
    """The lines of a campaign, as another ledger takes them in.

    Raises:
        ConfigError: the ledger is damaged.
    """
    looks = _parse(path, _without_torn_line(path.read_bytes())) if path.is_file() else []
    return "".join(json.dumps(asdict(look)) + "\n" for look in looks if look.campaign == campaign)


def read_lines(text: str, campaign: str) -> list[LedgerEntry]:
    """The looks that lines from elsewhere tell of.

    Raises:
        ConfigError: they are damaged, or tell of another campaign.
    """
    looks = _parse(Path(LEDGER_FILE), text.encode())
    for look in looks:
        spans = (look.symbols, look.val, look.test)
        texts = [look.campaign, look.started, look.exchange, look.interval, look.reads]
        whole = all(isinstance(span, list) for span in spans) and all(isinstance(each, str) for each in texts)
        if not whole or not all(isinstance(each, str) for span in spans for each in span):
            raise ConfigError("A line of the ledger that came is no look", _RESTORE)
        if look.campaign != campaign or len(look.val) != 2 or len(look.test) != 2:
            raise ConfigError(f"A line of the ledger that came is not of campaign {campaign}", _RESTORE)
    return looks


def _without_torn_line(content: bytes) -> bytes:
    """All but what a crash left of a last line: that look was never taken, for its line is on disk before."""
    head, separator, last = content.rpartition(b"\n")
    try:
        if last:
            json.loads(last)
    except ValueError:
        return head + separator
    except RecursionError:  # no crash writes such a line: it is damage
        return content
    return content


def _parse(path: Path, content: bytes) -> list[LedgerEntry]:
    try:
        return [LedgerEntry(**json.loads(line)) for line in content.splitlines()]
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged ({error})", _RESTORE) from None


def _check_whole(path: Path, looks: list[LedgerEntry]) -> None:
    """Refuse a ledger that lost or changed a line: the verdicts beside it say what was looked at, too."""
    for verdict in sorted(path.parent.glob(f"*/{VERDICT_FILE}")):
        try:
            told = json.loads(verdict.read_text(encoding="utf-8"))["look"]
            own = None if told is None else LedgerEntry(**told)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigError(f"{verdict} cannot be read ({error!r})", "Bring it back from a copy") from None
        if own is not None:
            _check_line(path, looks, own, verdict)


def _check_line(path: Path, looks: list[LedgerEntry], own: LedgerEntry, where: Path) -> None:
    lines = [look for look in looks if look.key == own.key]
    if not lines:
        raise ConfigError(f"{path} does not tell of {own.campaign}, which {where} does", _RESTORE)
    if any(line != own for line in lines):
        raise ConfigError(f"{path} tells otherwise of {own.campaign} than {where} does", _RESTORE)
