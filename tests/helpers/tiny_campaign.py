"""A campaign that takes seconds, and access to its files for the tests that run it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import yaml

from search.results.folder import JOURNAL_FILE
from search.study import study
from search.study.trial_record import TrialRecord
from tests.helpers.processes import HANG_SECONDS

NAME = "c"
CAMPAIGN: dict[str, Any] = {
    "name": NAME,
    "data": {"synthetic": {"bars": 4500}, "window": 60},
    "trials": 3,
    "max_epochs": 4,
    "grace": 2,
    "sampler": "random",
    "incumbent": "quick_experiment",
    "incumbent_epochs": 2,
    "train_incumbent": True,
    "model": "quick",
    "ask": [],
    "device": "cpu",
    "space": {"batch_size": {"values": [64]}},
}


def write_file(folder: Path, **changes: Any) -> str:
    """Write the campaign's YAML file into a folder.

    Args:
        folder: the folder in which the command line will be run.
        changes: settings that replace those of `CAMPAIGN`.

    Returns:
        the name of the file.
    """
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(CAMPAIGN | changes))
    return f"{NAME}.yaml"


def journal(folder: Path) -> Path:
    """Return the path of the campaign's journal, where it was run in this folder."""
    return folder / "results" / NAME / JOURNAL_FILE


def read_trials(folder: Path) -> list[TrialRecord]:
    """Read the campaign's trials from its journal, where it was run in this folder."""
    return study.read_trials(study.load_study(journal(folder), NAME))


def wait_for(path: Path, kind: str, count: int, process: subprocess.Popen[Any]) -> None:
    """Wait until a journal has a number of entries of a kind, or fail if the process ends before.

    Args:
        path: path of the journal.
        kind: kind of the entries, as `result`.
        count: number of entries to wait for.
        process: the process that writes the journal.
    """
    deadline = time.monotonic() + HANG_SECONDS
    while not (path.exists() and path.read_text().count(f'"kind":"{kind}"') >= count):
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            raise AssertionError(f"no {count} of {kind}: {process.communicate()[0] if process.stdout else ''}")
        time.sleep(0.05)
