"""A copy of a campaign's own files in its storage: when the driver's machine is lost, another one goes on from it."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.errors import ConfigError
from core.files import write_bytes
from search.results import ledger
from search.results.folder import CELLS, JOURNAL_FILE, LEDGER_FILE, MANIFEST_FILE, RESTORED_FILE, CampaignFolder
from search.results.ledger_entry import LedgerEntry
from search.results.manifest import LISTED
from search.storage.filesystem import Storage, StorageError
from search.study import study

FOLDER = "record"
EVERY_SECONDS = 10.0
"""How much of a campaign may be lost with its driver's disk; what is lost is trained again."""
_KEPT = frozenset({*LISTED, MANIFEST_FILE})
_CELL = re.compile(rf"{CELLS}/([0-9a-f]+/)?[a-z]+\.(json|parquet)")
_ORDER = {JOURNAL_FILE: 0, MANIFEST_FILE: 2}
_ATTEMPT = re.compile(r"(\d+)/(\d+)/.+")


def check_name_free(storage: Storage, name: str) -> None:
    """Make sure that no other campaign keeps its files there.

    Raises:
        ConfigError: one does.
        StorageError: the storage does not answer.
    """
    if storage.list_files(FOLDER):
        raise ConfigError(
            f"The storage holds a campaign {name} already", f"Choose another --name, or: preset-search resume {name}"
        )


def clear_backup(storage: Storage, owner_token: str | None) -> None:
    """Remove what was copied, if it is this driver's.

    Raises:
        StorageError: the storage does not answer.
    """
    if storage.owner() == owner_token:
        storage.remove_folder(FOLDER)


def taken_over(name: str) -> ConfigError:
    """What a driver ends with that finds another one's owner_token."""
    return ConfigError(f"Another driver goes on with campaign {name}", "Leave it to that one")


@contextmanager
def backed_up(
    folder: CampaignFolder, storage: Storage | None, owner_token: str | None = None
) -> Iterator[Callable[[], bool]]:
    """Copy a campaign's files whenever they have changed, while the block lasts and when it ends.

    A storage that does not answer is tried again: it is no reason to end anything. Where another driver has left its
    owner_token, the campaign is that one's: nothing more is copied.

    Args:
        folder: the campaign's.
        storage: of the campaign; None if it is in that folder anyway.
        owner_token: what this driver left in the storage.

    Yields:
        what tells whether another driver has taken the campaign over.
    """
    if storage is None:
        yield lambda: False
        return
    copied: dict[str, tuple[int, int]] = {}
    ended, taken = threading.Event(), threading.Event()

    def keep_up() -> None:
        with suppress(StorageError):
            found = storage.owner()
            if owner_token is not None and found not in ("", owner_token):
                taken.set()
            # Where no owner_token is, the storage is not the one that it was left in: a mount that has gone, perhaps.
            if not taken.is_set() and (owner_token is None or found):
                copy_campaign(folder.path, storage, copied)

    def follow() -> None:
        while not ended.wait(EVERY_SECONDS):
            keep_up()

    keep_up()
    thread = threading.Thread(target=follow, name="mirror", daemon=True)
    thread.start()
    try:
        yield taken.is_set
    finally:
        ended.set()
        thread.join()
        keep_up()


def copy_campaign(folder: Path, storage: Storage, copied: dict[str, tuple[int, int]]) -> None:
    """Copy what has changed since it was copied, by size and time, and remove what is gone; takes note in `copied`.

    Raises:
        StorageError: the storage does not answer; what is left is for the next time.
    """
    found = {name: path for path in folder.rglob("*") if _is_kept(name := path.relative_to(folder).as_posix())}
    if JOURNAL_FILE not in found:
        return  # the driver's disk is gone, and this is the copy that was made for that
    if not copied:  # what a run before this one had come to, and this one takes back
        copied |= dict.fromkeys(_kept(storage), (0, 0))
    # However far this comes, the copy makes sense: its journal knows all that its tables say.
    for name, path in sorted(found.items(), key=lambda item: (_ORDER.get(item[0], 1), item[0])):
        with suppress(FileNotFoundError):
            state = path.stat().st_size, path.stat().st_mtime_ns
            if copied.get(name) != state:
                storage.write(f"{FOLDER}/{name}", path.read_bytes())
                copied[name] = state
    for name in sorted(copied.keys() - found.keys()):
        storage.remove(f"{FOLDER}/{name}")
        del copied[name]


def _is_kept(name: str) -> bool:
    """Whether a file is copied, by its name in the campaign's folder."""
    return name in _KEPT or _CELL.fullmatch(name) is not None


def _kept(storage: Storage) -> list[str]:
    names = [name.removeprefix(f"{FOLDER}/") for name in storage.list_files(FOLDER)]
    return [name for name in names if _is_kept(name)]


def restore(root: Path, name: str, storage: Storage) -> CampaignFolder:
    """Bring a campaign's files from its storage into its folder, which is not there; returns the folder.

    `RESTORED_FILE` is left beside them: who goes on with the search begins another generation, see `study.take_over`.

    What the copy of the journal does not know, because it was written later, is removed from the storage: nobody may
    take it for his own. A driver that still runs the campaign finds another owner_token, and ends.

    Args:
        root: folder of all campaigns.
        name: the campaign's.
        storage: where it keeps its files.

    Raises:
        ConfigError: the storage holds no such campaign, or the folder is there or cannot be written.
        StorageError: the storage does not answer.
    """
    folder = CampaignFolder(root / name)
    if folder.path.exists():
        raise ConfigError(f"{folder.path} is there already", "Leave out --storage: its journal knows more than a copy")
    names = _kept(storage)
    if JOURNAL_FILE not in names:
        raise ConfigError(
            f"There is no campaign {name!r} in {storage.display_name}", "Name the storage that its file named"
        )
    storage.claim()
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}.") as scratch:
        made = Path(scratch, name)
        for found in names:
            with suppress(FileNotFoundError):  # that driver may yet remove one
                write_bytes(made / found, storage.read(f"{FOLDER}/{found}"))
        _delete_unknown_attempts(made / JOURNAL_FILE, name, storage)
        write_bytes(made / RESTORED_FILE, b"")
        for look in _looks(storage, name):  # before the verdict that they belong to
            ledger.append_entry(folder.ledger, look)
        made.rename(folder.path)
    return folder


def backup_ledger(folder: CampaignFolder, storage: Storage) -> None:
    """Copy what a campaign has looked at, before it looks: another machine has to know of it.

    Raises:
        StorageError: it cannot be written.
    """
    told = ledger.lines_of_campaign(folder.ledger, folder.name)
    storage.write(f"{FOLDER}/{LEDGER_FILE}", told.encode())


def _looks(storage: Storage, name: str) -> list[LedgerEntry]:
    try:
        told = storage.read(f"{FOLDER}/{LEDGER_FILE}").decode()
    except FileNotFoundError:
        return []
    return ledger.parse_lines(told, name)


def _delete_unknown_attempts(journal: Path, name: str, storage: Storage) -> None:
    known = {trial.number: trial.attempt_id for trial in study.read_trials(study.load_study(journal, name))}
    for found in storage.list_files():
        match = _ATTEMPT.fullmatch(found)
        if match and known.get(int(match[1]), 0) < int(match[2]):
            storage.remove(found)
