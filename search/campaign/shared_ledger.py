"""The part of the ledger that all machines share: a folder in the storage, with a file for each entry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from search.results import ledger
from search.results.ledger_entry import LedgerEntry
from search.storage.filesystem import Storage

SHARED_LEDGER = "_ledger"
"""Folder of the shared entries, beside the folders of the campaigns, none of which can have such a name."""


def join_ledgers(path: Path, entries: Sequence[LedgerEntry], storage: Storage | None) -> list[LedgerEntry]:
    """Append entries to the ledger, and exchange what is missing with the storage that other machines use.

    The entries are published before those of others are read: of two machines that do this at once, at least one
    finds the other's entry.

    Args:
        path: the ledger file of this machine.
        entries: entries to append.
        storage: the storage that holds the folders of all campaigns; None where files go to this machine's own disk.

    Returns:
        all entries of the ledger.

    Raises:
        ConfigError: a ledger is damaged, or cannot be written.
        StorageError: the storage is not available.
    """
    for entry in entries:
        ledger.append_entry(path, entry)
    if storage is None:
        return ledger.read_entries(path)
    shared = storage.subfolder(SHARED_LEDGER)
    present = set(shared.list_files())
    local = ledger.read_entries(path)
    own = {_file_name(entry): entry for entry in local}
    for name in own.keys() - present:
        shared.write(name, json.dumps(asdict(own[name])).encode())
    for name in sorted(set(shared.list_files()) - own.keys()):
        with suppress(FileNotFoundError):
            for entry in ledger.parse_lines(shared.read(name).decode(errors="replace")):
                local = ledger.append_entry(path, entry)
    return local


def _file_name(entry: LedgerEntry) -> str:
    return hashlib.sha256(json.dumps(entry.key).encode()).hexdigest()[:32] + ".json"
