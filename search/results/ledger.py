"""The ledger: which data the campaigns of a folder have read, one line for each search, confirmation and verification.

A test span can be read once. Whoever has read some of it before, with another campaign, even as the val of a search,
knows more than the figures say. The synthetic market is not recorded: it can be made anew at will.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from core.errors import ConfigError
from core.files import reading
from search.results.folder import LEDGER_FILE, VERDICT_FILE
from search.results.ledger_entry import READ_SPANS, LedgerEntry, OverlappingEntry
from search.results.verdict import parse_ledger_entry

_REMEDY = "Restore it from a backup: it records which data were read"


def earlier_overlapping(entries: list[LedgerEntry], entry: LedgerEntry) -> list[OverlappingEntry]:
    """Return the entries of earlier readings that have read some of the test span of an entry.

    The search of the same campaign and its folds do not count: they end before its test. Another final training of the
    same campaign does.

    Args:
        entries: all entries of the ledger, in the order in which they were written.
        entry: the entry whose test span is compared; entries that were read after it do not count.
    """
    position = next((index for index, other in enumerate(entries) if other.key == entry.key), len(entries))
    overlapping = []
    for index, earlier in enumerate(entries):
        is_own_search = earlier.kind in ("search", "folds") and earlier.key[:2] == entry.key[:2]
        if earlier.key == entry.key or is_own_search or earlier.time > entry.time:
            continue
        if earlier.time == entry.time and _comes_later(earlier, index, entry, position):
            continue
        if saw := entry.overlaps(earlier):
            overlapping.append(OverlappingEntry(**asdict(earlier), saw=saw))
    return overlapping


def _comes_later(other: LedgerEntry, index: int, entry: LedgerEntry, position: int) -> bool:
    """Return which of two readings of the same second counts as the later one.

    Where both times were recorded, their keys decide, so that all machines agree. Lines of early versions, which have
    no time of their own, come in the order of the file.

    Args:
        other: one entry.
        index: its position in the ledger.
        entry: the other entry.
        position: the position of that one.
    """
    return other.key > entry.key if other.read_at and entry.read_at else index > position


def append_entry(path: Path, entry: LedgerEntry) -> list[LedgerEntry]:
    """Append an entry before its data are read, unless the ledger has it already: the first reading counts.

    Args:
        path: the ledger file, which is created if it does not exist; a line that a crash cut off is removed.
        entry: the entry to append.

    Returns:
        all entries of the ledger, this one included.

    Raises:
        ConfigError: the ledger is damaged, lacks the entry of a verdict beside it or contradicts it, or cannot be
            written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            content = _without_torn_line(file.read())
            entries = _parse(path, content)
            _check_against_verdicts(path, entries)
            recorded = find_entry(entries, entry)
            if recorded is None:
                file.truncate(len(content))
                line_end = b"" if not content or content.endswith(b"\n") else b"\n"
                file.write(line_end + json.dumps(asdict(entry)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
                entries.append(entry)
            elif entry.kind == "confirmation":
                # What a reading covers is recorded when it begins; early versions recorded less.
                begun = replace(entry, read_at=recorded.read_at, folds=recorded.folds)
                _check_recorded(path, entries, begun, path.parent / entry.campaign)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})", "Check the folder's permissions") from None
    return entries


def find_entry(entries: Sequence[LedgerEntry], entry: LedgerEntry) -> LedgerEntry | None:
    """Return the entry of the same reading; None if there is none.

    Args:
        entries: all entries of the ledger.
        entry: an entry of the reading, perhaps made anew when it continued.
    """
    return next((other for other in entries if other.key == entry.key), None)


def read_entries(path: Path) -> list[LedgerEntry]:
    """Read all entries.

    Args:
        path: the ledger file; it need not exist.

    Raises:
        ConfigError: the ledger is damaged.
    """
    return _parse(path, _without_torn_line(path.read_bytes())) if path.is_file() else []


def has_read_test(path: Path, campaign: str, started: str) -> bool:
    """Return whether a campaign has read its test span.

    Args:
        path: the ledger file; it need not exist.
        campaign: name of the campaign.
        started: when the campaign was started, in ISO 8601.

    Raises:
        ConfigError: the ledger is damaged.
    """
    return any(entry.key[:3] == (campaign, started, "confirmation") for entry in read_entries(path))


def lines_of_campaign(path: Path, campaign: str) -> str:
    """Return the lines of a campaign, which `parse_lines` reads on another machine.

    Args:
        path: the ledger file; it need not exist.
        campaign: name of the campaign.

    Raises:
        ConfigError: the ledger is damaged.
    """
    return "".join(json.dumps(asdict(entry)) + "\n" for entry in read_entries(path) if entry.campaign == campaign)


def parse_lines(text: str, campaign: str | None = None) -> list[LedgerEntry]:
    """Return the entries of lines that came from another machine, which are not trusted.

    Args:
        text: the lines, from `lines_of_campaign`.
        campaign: name of the campaign that all entries must belong to; None for any.

    Raises:
        ConfigError: a line is damaged, or belongs to another campaign.
    """
    entries = _parse(Path(LEDGER_FILE), text.encode())
    for entry in entries:
        if not _has_valid_types(entry):
            raise ConfigError("A received line of the ledger is not a ledger entry", _REMEDY)
        if (len(entry.val), len(entry.test)) != (2, 2) or len(entry.folds) not in (0, 2):
            raise ConfigError("A received line of the ledger has a span without a start and an end", _REMEDY)
        if campaign not in (None, entry.campaign):
            raise ConfigError(f"A received line of the ledger is not of campaign {campaign}", _REMEDY)
    return entries


def _has_valid_types(entry: LedgerEntry) -> bool:
    """Return whether all texts of an entry are strings, and its symbols and spans lists of strings."""
    lists = (entry.symbols, entry.val, entry.test, entry.folds)
    texts = [entry.campaign, entry.started, entry.exchange, entry.interval, entry.reads, entry.read_at]
    return all(isinstance(items, list) for items in lists) and all(
        isinstance(text, str) for text in [*texts, *(item for items in lists for item in items)]
    )


def _without_torn_line(content: bytes) -> bytes:
    """Return the content without a last line that a crash cut off: its data were not read, for it is written before."""
    head, separator, last = content.rpartition(b"\n")
    try:
        if last:
            json.loads(last)
    except ValueError:
        return head + separator
    except RecursionError:  # no crash leaves such a line: it is damage
        return content
    return content


def _parse(path: Path, content: bytes) -> list[LedgerEntry]:
    try:
        entries = [LedgerEntry(**json.loads(line)) for line in content.splitlines()]
        if unknown := [entry.kind for entry in entries if entry.kind not in READ_SPANS]:
            raise ValueError(f"there is no kind of reading {unknown[0]!r}")
        return entries
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged ({error})", _REMEDY) from None


def _check_against_verdicts(path: Path, entries: list[LedgerEntry]) -> None:
    """Check that the ledger has lost or changed no line: each verdict beside it records its own entry, too."""
    for verdict in sorted(path.parent.glob(f"*/{VERDICT_FILE}")):
        with reading(verdict):
            entry = parse_ledger_entry(verdict.read_bytes())
        if entry is not None:
            _check_recorded(path, entries, entry, verdict)


def _check_recorded(path: Path, entries: list[LedgerEntry], entry: LedgerEntry, source: Path) -> None:
    """Check that the ledger holds an entry, unchanged.

    Args:
        path: the ledger file, for the message.
        entries: all entries of the ledger.
        entry: the entry that it must hold.
        source: the file or folder that the entry comes from, for the message.
    """
    recorded = [other for other in entries if other.key == entry.key]
    if not recorded:
        raise ConfigError(f"{path} lacks the entry of {entry.campaign} that {source} records", _REMEDY)
    if any(other != entry for other in recorded):
        raise ConfigError(f"{path} contradicts {source} about the entry of {entry.campaign}", _REMEDY)
