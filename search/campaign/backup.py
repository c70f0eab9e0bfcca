"""Backs up a campaign's own files to its storage, so that another machine can continue when the driver's is lost."""

from __future__ import annotations

import logging
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.markup import escape

from core import console
from core.errors import ConfigError, one_line
from core.files import write_bytes
from search.results import ledger
from search.results.folder import CELLS, JOURNAL_FILE, LEDGER_FILE, MANIFEST_FILE, RESTORED_FILE, CampaignFolder
from search.results.ledger_entry import LedgerEntry
from search.results.manifest import LISTED
from search.storage.filesystem import Storage, StorageError
from search.storage.segments import SegmentedCopy, read_segmented
from search.study import study

_LOG = logging.getLogger(__name__)
BACKUP_FOLDER = "record"
"""Folder of the backup in the campaign's storage."""
INTERVAL_SECONDS = 10.0
"""Time between two backups; trainings recorded since the last one are repeated if the driver's disk is lost."""
_COPIED_FILES = frozenset({*LISTED, MANIFEST_FILE})
_CELL_FILE = re.compile(rf"{CELLS}/([0-9a-f]+/)?[a-z]+\.(json|parquet)")
_ATTEMPT_FILE = re.compile(r"(\d+)/(\d+)/.+")
"""Path of a trial's file in the storage: its number, the attempt, the name."""


def check_name_free(storage: Storage, name: str) -> None:
    """Check that the storage holds no backup of another campaign of this name.

    Args:
        storage: the storage of the campaign that is to be started.
        name: name of that campaign.

    Raises:
        ConfigError: the storage holds such a backup.
        StorageError: the storage is not available.
    """
    if storage.list_files(BACKUP_FOLDER):
        raise ConfigError(
            f"The storage already holds a campaign {name}",
            f"Choose another --name, or continue it with: preset-search resume {name}",
        )


def clear_backup(storage: Storage, owner_token: str | None) -> None:
    """Remove the backup, unless another driver has claimed the storage.

    Args:
        storage: the storage of the campaign.
        owner_token: the token that this driver got when it claimed the storage.

    Raises:
        StorageError: the storage is not available.
    """
    if storage.owner() == owner_token:
        storage.remove_folder(BACKUP_FOLDER)


def taken_over_error(name: str) -> ConfigError:
    """Make the error that a driver ends with when another driver has taken its campaign over.

    Args:
        name: name of the campaign.
    """
    return ConfigError(
        f"Campaign {name} was taken over by another driver; this one stops", "Leave the campaign to the other driver"
    )


@contextmanager
def backed_up(
    folder: CampaignFolder, storage: Storage | None, owner_token: str | None = None
) -> Iterator[Callable[[], bool]]:
    """Copy the campaign's files to its storage whenever they have changed, while the block lasts and when it ends.

    A copy that fails, for whatever reason, is tried again later and does not end the campaign. Once another driver has
    claimed the storage, the campaign is that driver's, and nothing more is copied.

    Args:
        folder: the folder of the campaign.
        storage: the storage of the campaign; None if it lies in that folder, so that there is nothing to copy.
        owner_token: the token that this driver got when it claimed the storage; None if it did not.

    Yields:
        a function that returns whether another driver has taken the campaign over.
    """
    if storage is None:
        yield lambda: False
        return
    copies = Copies(storage)
    ended, taken_over = threading.Event(), threading.Event()
    reported: set[str] = set()

    def copy_changes() -> None:
        try:
            owner = storage.owner()
            if owner_token is not None and owner not in ("", owner_token):
                taken_over.set()
            # Without any token the storage is not the one that was claimed: perhaps its mount has gone.
            if not taken_over.is_set() and (owner_token is None or owner):
                copy_campaign(folder.path, storage, copies)
        except StorageError:
            pass  # who waits for the storage says so
        except Exception as error:  # whatever it is, the next attempt may succeed, and a takeover must be noticed
            message = one_line(error)
            _LOG.warning("backup failed", extra={"error": message})
            if message not in reported:
                console.err.print(escape(f"The backup of the campaign failed ({message}); it is tried again."))
                reported.add(message)

    def copy_until_ended() -> None:
        while not ended.wait(INTERVAL_SECONDS):
            copy_changes()

    copy_changes()
    thread = threading.Thread(target=copy_until_ended, name="backup", daemon=True)
    thread.start()
    try:
        yield taken_over.is_set
    finally:
        ended.set()
        thread.join()
        copy_changes()


class Copies:
    """What one run has copied of a campaign's files.

    Attributes:
        states: size in bytes and time of modification in nanoseconds of each file when it was copied, by its name in
            the campaign's folder.
        journal: the copy of the journal, which grows.
    """

    def __init__(self, storage: Storage) -> None:
        """Begin with nothing copied.

        Args:
            storage: the storage of the campaign.
        """
        self.states: dict[str, tuple[int, int]] = {}
        self.journal = SegmentedCopy(storage, f"{BACKUP_FOLDER}/{JOURNAL_FILE}")


def copy_campaign(folder: Path, storage: Storage, copies: Copies) -> None:
    """Copy the files that have changed since they were last copied, and remove copies of files that are gone.

    The journal is copied first and the manifest last: wherever copying is cut off, the backup can be resumed from,
    because its journal holds all that its tables hold.

    Args:
        folder: path of the campaign's folder.
        storage: the storage of the campaign.
        copies: what this run has copied before; updated with each copy.

    Raises:
        StorageError: the storage is not available; the next call copies what is still missing.
    """
    paths = {name: path for path in folder.rglob("*") if _is_copied(name := path.relative_to(folder).as_posix())}
    if JOURNAL_FILE not in paths:
        return  # the driver's disk is lost, which is what the backup is for
    copied = copies.states
    if not copied:
        # An earlier run may have left copies of files that are gone since. No file has this size and time, so that
        # each copy is either written anew or removed.
        copied |= dict.fromkeys(_backup_names(storage), (0, 0))
    with suppress(FileNotFoundError):
        copies.journal.update(paths[JOURNAL_FILE])
    for name in sorted(paths.keys() - {JOURNAL_FILE}, key=lambda name: (name == MANIFEST_FILE, name)):
        with suppress(FileNotFoundError):
            path = paths[name]
            state = path.stat().st_size, path.stat().st_mtime_ns
            if copied.get(name) != state:
                storage.write(f"{BACKUP_FOLDER}/{name}", path.read_bytes())
                copied[name] = state
    for name in sorted(copied.keys() - paths.keys()):
        storage.remove(f"{BACKUP_FOLDER}/{name}")
        del copied[name]


def _is_copied(name: str) -> bool:
    """Return whether a file belongs in the backup, by its name in the campaign's folder."""
    return name in _COPIED_FILES or _CELL_FILE.fullmatch(name) is not None


def _backup_names(storage: Storage) -> list[str]:
    """Return the names of the files in the backup; other names, which could lead out of the folder, are ignored."""
    names = [name.removeprefix(f"{BACKUP_FOLDER}/") for name in storage.list_files(BACKUP_FOLDER)]
    return [name for name in names if _is_copied(name)]


def restore(root: Path, name: str, storage: Storage) -> CampaignFolder:
    """Restore a campaign's folder from the backup in its storage, and take the campaign over.

    A driver that still runs the campaign finds the storage claimed by another, and ends. Attempts at trials that the
    backup of the journal does not know were started after it was made: their files are removed from the storage, so
    that nobody takes them for those of later attempts. `RESTORED_FILE` is left in the folder: whoever resumes the
    search begins another generation, see `study.take_over`.

    Args:
        root: folder of all campaigns.
        name: name of the campaign.
        storage: the storage of the campaign.

    Returns:
        the restored folder.

    Raises:
        ConfigError: the storage holds no such campaign, or the folder exists already or cannot be written.
        StorageError: the storage is not available.
    """
    folder = CampaignFolder(root / name)
    if folder.path.exists():
        raise ConfigError(
            f"{folder.path} already exists", "Leave out --storage: the journal there is newer than its backup"
        )
    names = _backup_names(storage)
    if JOURNAL_FILE not in names:
        raise ConfigError(
            f"There is no campaign {name!r} in {storage.display_name}", "Name the storage in which it was started"
        )
    storage.claim()
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}.") as scratch:
        restored = Path(scratch, name)
        for file_name in names:
            with suppress(FileNotFoundError):  # the other driver may remove one until it notices the claim
                read = read_segmented if file_name == JOURNAL_FILE else Storage.read
                write_bytes(restored / file_name, read(storage, f"{BACKUP_FOLDER}/{file_name}"))
        _delete_unknown_attempts(restored / JOURNAL_FILE, name, storage)
        write_bytes(restored / RESTORED_FILE, b"")
        # The ledger comes first: one that lacks the entry of a verdict beside it would be refused.
        for entry in _read_ledger_backup(storage, name):
            ledger.append_entry(folder.ledger, entry)
        restored.rename(folder.path)
    return folder


def backup_ledger(folder: CampaignFolder, storage: Storage) -> None:
    """Copy the campaign's ledger entries to its storage, before their data are read: other machines must know of them.

    Args:
        folder: the folder of the campaign.
        storage: the storage of the campaign.

    Raises:
        ConfigError: the ledger is damaged.
        StorageError: the storage is not available.
    """
    lines = ledger.lines_of_campaign(folder.ledger, folder.name)
    storage.write(f"{BACKUP_FOLDER}/{LEDGER_FILE}", lines.encode())


def _read_ledger_backup(storage: Storage, name: str) -> list[LedgerEntry]:
    try:
        lines = storage.read(f"{BACKUP_FOLDER}/{LEDGER_FILE}").decode()
    except FileNotFoundError:
        return []
    return ledger.parse_lines(lines, name)


def _delete_unknown_attempts(journal: Path, name: str, storage: Storage) -> None:
    """Delete the files of attempts that are later than the last one that the journal knows of their trial."""
    last_attempts = {trial.number: trial.attempt_id for trial in study.read_trials(study.load_study(journal, name))}
    for path in storage.list_files():
        match = _ATTEMPT_FILE.fullmatch(path)
        if match and last_attempts.get(int(match[1]), 0) < int(match[2]):
            storage.remove(path)
