"""A campaign that takes seconds, and what the tests that run it look at."""

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
    "data": {"synthetic": {"bars": 4500}},
    "trials": 3,
    "max_epochs": 4,
    "grace": 2,
    "sampler": "random",
    "incumbent": "quick_experiment",
    "incumbent_epochs": 2,
    "model": "quick",
    "ask": [],
    "device": "cpu",
    "space": {"batch_size": {"values": [64]}},
}


def write_file(folder: Path, **changes: Any) -> str:
    """Write its file, with changes; returns the file's name."""
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(CAMPAIGN | changes))
    return f"{NAME}.yaml"


def journal(folder: Path) -> Path:
    """Its journal, where it was run in this folder."""
    return folder / "results" / NAME / JOURNAL_FILE


def logs(folder: Path) -> list[TrialRecord]:
    """Its trials."""
    return study.read_trials(study.load_study(journal(folder), NAME))


def wait_for(path: Path, kind: str, count: int, process: subprocess.Popen[Any]) -> None:
    """Wait until a journal has so many entries of a kind."""
    deadline = time.monotonic() + HANG_SECONDS
    while not (path.exists() and path.read_text().count(f'"kind":"{kind}"') >= count):
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            raise AssertionError(f"no {count} of {kind}: {process.communicate()[0] if process.stdout else ''}")
        time.sleep(0.05)
