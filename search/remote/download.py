"""Installs results that were fetched from a cluster in the local results folder: checked first, whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from core.config import check_name
from core.errors import ConfigError
from core.files import reading, writing
from search.results import ledger, manifest
from search.results.folder import CONFIG_FILE, JOURNAL_FILE, LEDGER_FILE, MANIFEST_FILE, VERDICT_FILE, CampaignFolder
from search.results.ledger_entry import LedgerEntry
from search.results.manifest import LISTED
from search.results.verdict import parse_ledger_entry
from search.study.journal.file import committed_bytes, is_held

_MOVE_AWAY = "Move that folder away, or name another with --results"
_FETCH_AGAIN = "Fetch the results again"
_CHECK_ADDRESS = "Check that --address names the right cluster"


@dataclass(frozen=True)
class Installed:
    """The results that were installed.

    Attributes:
        folder: the campaign's local folder.
        concluded: whether the campaign is concluded; one that is running has no manifest yet.
        new_ledger_entries: number of entries of this campaign that were added to the local ledger.
    """

    folder: Path
    concluded: bool
    new_ledger_entries: int


def install_results(files: Mapping[str, bytes], root: Path, name: str) -> Installed:
    """Check the fetched files of a campaign, add its ledger entries to the local ledger, then install its folder.

    The ledger is written first: every later confirmation would refuse a ledger that lacks the entry of a verdict.

    Args:
        files: content of each file by name, as returned by `archive.unpack`.
        root: local folder of all campaigns.
        name: name of the campaign.

    Raises:
        ConfigError: the files are damaged or another campaign's, they would replace something that the fetched folder
            does not contain, or the folder cannot be written.
    """
    folder = root / check_name(name, "campaign")
    root.mkdir(parents=True, exist_ok=True)
    replaced = root / f".{name}.replaced"
    try:
        if replaced.exists():  # left by a run that was killed
            _settle(folder, replaced)
        entries = _ledger_entries(files, name)
        with tempfile.TemporaryDirectory(dir=root, prefix=".fetched-") as scratch:
            fetched = Path(scratch) / name
            _write_files(files, fetched)
            _check_fetched(fetched, name)
            if folder.exists():
                check_can_replace(folder, fetched)
            new_entries = _append_to_ledger(root / LEDGER_FILE, entries)
            _move_into_place(fetched, folder, replaced)
    except RecursionError:
        raise ConfigError("A received file is nested too deeply to be a campaign's", _CHECK_ADDRESS) from None
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror or error})", "Free some space, or name another --results"
        ) from None
    return Installed(folder, MANIFEST_FILE in files, new_entries)


def _write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write all files but the ledger, which does not belong in a campaign's folder."""
    folder.mkdir()
    for name, content in files.items():
        if name != LEDGER_FILE:
            with writing(folder / name) as temporary:
                temporary.write_bytes(content)


def _move_into_place(fetched: Path, folder: Path, replaced: Path) -> None:
    """Rename the fetched folder to its place, and remove the folder that it replaces.

    Whenever this is interrupted, the local folder or the fetched one has the place, or the next call restores it.

    Args:
        fetched: the folder to move.
        folder: its place.
        replaced: where to keep a folder that is there until the fetched one has its place; nothing exists there.
    """
    try:
        if folder.exists():
            folder.rename(replaced)
        fetched.rename(folder)
    finally:
        _settle(folder, replaced)


def _settle(folder: Path, replaced: Path) -> None:
    """Remove the folder that was replaced, or move it back if nothing has its place."""
    if folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
    elif replaced.exists():
        replaced.rename(folder)


def _append_to_ledger(path: Path, entries: list[LedgerEntry]) -> int:
    """Append those of a campaign's entries that the ledger lacks; return how many there were."""
    if not entries:
        return 0
    campaign = entries[0].campaign
    count_before = ledger.lines_of_campaign(path, campaign).count("\n")
    for entry in entries:
        ledger.append_entry(path, entry)
    return ledger.lines_of_campaign(path, campaign).count("\n") - count_before


def _ledger_entries(files: Mapping[str, bytes], name: str) -> list[LedgerEntry]:
    """Return the campaign's entries in the fetched ledger and in the fetched verdict, each once."""
    with reading(f"the received {LEDGER_FILE}", _FETCH_AGAIN):
        lines = files.get(LEDGER_FILE, b"").decode()
    with reading(f"the received {VERDICT_FILE}", _FETCH_AGAIN):
        verdict_entry = parse_ledger_entry(files[VERDICT_FILE]) if VERDICT_FILE in files else None
    if verdict_entry is not None:
        lines += json.dumps(asdict(verdict_entry)) + "\n"
    return list({entry.key: entry for entry in ledger.parse_lines(lines, name)}.values())


def _check_fetched(fetched: Path, name: str) -> None:
    """Check that a fetched folder is the campaign's, and agrees with its manifest, if it has one."""
    try:
        fetched_name = CampaignFolder(fetched).read_record().name
    except ConfigError as error:
        raise ConfigError(f"The received {CONFIG_FILE} is damaged: {_relative(error, fetched)}", _FETCH_AGAIN) from None
    if fetched_name != name:
        raise ConfigError(f"The received campaign is {fetched_name!r}, not {name!r}", _CHECK_ADDRESS)
    if (fetched / MANIFEST_FILE).exists():
        try:
            manifest.check_manifest(CampaignFolder(fetched))
        except ConfigError as error:
            what = _relative(error, fetched)
            raise ConfigError(f"The received results do not agree with their manifest: {what}", _FETCH_AGAIN) from None


def _relative(error: ConfigError, fetched: Path) -> str:
    """Return what is wrong, without the path of the temporary folder."""
    return error.what.replace(f"{fetched}/", "").replace(str(fetched), fetched.name)


def check_can_replace(folder: Path, fetched: Path) -> None:
    """Check that nothing is lost when a fetched folder replaces the local one.

    Args:
        folder: the campaign's folder on this machine, which need not exist.
        fetched: the folder that was received and unpacked, still under a temporary name.

    Raises:
        ConfigError: the local folder is another campaign's, has a longer journal, is in use, or holds files or a
            verdict that the fetched one does not.
    """
    if is_held(folder / JOURNAL_FILE):
        raise ConfigError(f"Campaign {folder.name} is running here", "Wait until it ends, or name another --results")
    # The journals alone do not tell campaigns apart: an empty or missing one is the beginning of any other.
    start_time = _start_time(folder)
    is_same = start_time is not None and start_time == _start_time(fetched)
    if not is_same or not (folder / JOURNAL_FILE).is_file():
        raise ConfigError(f"{folder} holds another campaign of that name", _MOVE_AWAY)
    local_journal = committed_bytes(folder / JOURNAL_FILE)
    fetched_journal = (fetched / JOURNAL_FILE).read_bytes()
    if not fetched_journal.startswith(local_journal):
        is_longer = local_journal.startswith(fetched_journal)
        what = "is ahead of the cluster" if is_longer else "holds another campaign of that name"
        raise ConfigError(f"{folder} {what}", _MOVE_AWAY)
    own_files = sorted(path.name for path in folder.iterdir() if path.name not in {*LISTED, MANIFEST_FILE})
    if own_files:
        raise ConfigError(f"{folder} was worked on here: it holds {', '.join(own_files)}", _MOVE_AWAY)
    verdict = folder / VERDICT_FILE
    if verdict.is_file() and not _same_content(verdict, fetched / VERDICT_FILE):
        raise ConfigError(f"{folder} has a verdict of its own", _MOVE_AWAY)


def _same_content(path: Path, other: Path) -> bool:
    return other.is_file() and path.read_bytes() == other.read_bytes()


def _start_time(folder: Path) -> str | None:
    """Return when the campaign of a folder was started, as its file records it; None if that cannot be read."""
    with suppress(ConfigError):
        return CampaignFolder(folder).read_record().started
    return None
