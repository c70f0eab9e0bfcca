"""Puts results that came from a cluster into the local results folder: checked first, whole or not at all."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.config import check_name
from core.errors import ConfigError
from core.files import writing
from search.results import ledger, manifest
from search.results.folder import CONFIG_FILE, JOURNAL_FILE, MANIFEST_FILE, VERDICT_FILE
from search.results.ledger import LEDGER_FILE, LedgerEntry
from search.results.manifest import LISTED
from search.study import journal

_MOVE = "Move that folder away, or name another with --results"


@dataclass(frozen=True)
class Installed:
    """What was put in place.

    Attributes:
        folder: the campaign's, here.
        concluded: whether the manifest came with it; not while the campaign runs.
        looks: lines that the ledger has now of this campaign, and did not have before.
    """

    folder: Path
    concluded: bool
    looks: int


def install_results(files: Mapping[str, bytes], root: Path, name: str) -> Installed:
    """Check the files of a campaign, take its looks into the ledger, then put its folder in place.

    The ledger comes first: a verdict without its line would make every later confirmation here refuse the ledger.

    Args:
        files: by name, as `archive.unpack` gives them.
        root: folder of all campaigns.
        name: the campaign's.

    Raises:
        ConfigError: the files are not what they say, another campaign of that name is here, or nothing can be written.
    """
    folder = root / check_name(name, "campaign")
    root.mkdir(parents=True, exist_ok=True)
    try:
        looks = _looks(files, name)
        with tempfile.TemporaryDirectory(dir=root, prefix=".fetched-") as scratch:
            made = Path(scratch) / name
            made.mkdir()
            for file, content in files.items():
                if file != LEDGER_FILE:
                    with writing(made / file) as temporary:
                        temporary.write_bytes(content)
            _check(made, name)
            if folder.exists():
                check_can_replace(folder, made)
            new = _record(root / LEDGER_FILE, looks)
            _swap(made, folder, Path(scratch) / "before")
    except RecursionError:
        raise ConfigError(
            "A file that came is nested too deeply to be a campaign's", "Is this the right cluster?"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror or error})", "Make room, or name another"
        ) from None
    return Installed(folder, MANIFEST_FILE in files, new)


def _swap(made: Path, folder: Path, before: Path) -> None:
    """Rename a folder into place; what was there goes with the temporary folder."""
    if folder.exists():
        folder.rename(before)
    try:
        made.rename(folder)
    except OSError:
        if before.exists():
            before.rename(folder)
        raise


def _record(path: Path, looks: list[LedgerEntry]) -> int:
    known = ledger.of_campaign(path, looks[0].campaign).count("\n") if looks else 0
    for look in looks:
        ledger.append_entry(path, look)
    return ledger.of_campaign(path, looks[0].campaign).count("\n") - known if looks else 0


def _looks(files: Mapping[str, bytes], name: str) -> list[LedgerEntry]:
    """What the campaign looked at: as the ledger says that came, and the verdict."""
    try:
        text = files.get(LEDGER_FILE, b"").decode()
        own = json.loads(files[VERDICT_FILE])["look"] if VERDICT_FILE in files else None
        if own is not None:
            text += json.dumps(own) + "\n"
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"The results that came are damaged ({error!r})", "Fetch them again") from None
    return list({look.key: look for look in ledger.read_lines(text, name)}.values())


def _check(made: Path, name: str) -> None:
    """Make sure that a folder is this campaign's, and what its manifest says, if it has one."""
    try:
        content = yaml.safe_load((made / CONFIG_FILE).read_bytes())
        told = content["config"]["name"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(f"The {CONFIG_FILE} that came is no campaign's ({error!r})", "Fetch it again") from None
    if told != name:
        raise ConfigError(f"What came is campaign {told!r}, not {name!r}", "Is this the right cluster?")
    if (made / MANIFEST_FILE).exists():
        try:
            manifest.check_manifest(made)
        except ConfigError as error:
            what = error.what.replace(f"{made}/", "").replace(str(made), name)
            raise ConfigError(f"What came is not what was concluded: {what}", "Fetch it again") from None


def check_can_replace(folder: Path, made: Path) -> None:
    """Make sure that nothing is lost when a fetched folder takes the place of the one that is here.

    Args:
        folder: the one that is here.
        made: the fetched one.

    Raises:
        ConfigError: it is another campaign's, knows more, is being run, or holds files of its own.
    """
    if journal.is_held(folder / JOURNAL_FILE):
        raise ConfigError(f"Campaign {folder.name} is being run here", "Wait for it, or name another --results")
    # An empty or missing journal is the beginning of every other, so the start is compared too.
    if _started(folder) is None or _started(folder) != _started(made) or not (folder / JOURNAL_FILE).is_file():
        raise ConfigError(f"{folder} holds another campaign of that name", _MOVE)
    here = journal.committed_bytes(folder / JOURNAL_FILE)
    there = (made / JOURNAL_FILE).read_bytes()
    if not there.startswith(here):
        told = "knows more than the cluster" if here.startswith(there) else "holds another campaign of that name"
        raise ConfigError(f"{folder} {told}", _MOVE)
    known = {*LISTED, MANIFEST_FILE}
    own = sorted(path.name for path in folder.iterdir() if path.name not in known)
    if own:
        raise ConfigError(f"{folder} was worked on here: it holds {', '.join(own)}", _MOVE)
    verdict = folder / VERDICT_FILE
    if verdict.is_file() and not _same(verdict, made / VERDICT_FILE):
        raise ConfigError(f"{folder} has a verdict of its own", _MOVE)


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def _started(folder: Path) -> Any:
    try:
        return yaml.safe_load((folder / CONFIG_FILE).read_bytes())["resolved"]["started"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None
