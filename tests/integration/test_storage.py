"""Whole campaigns whose files lie behind S3: the server goes away and comes back, and the driver's disk is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from search import results, study
from search.storage import Storage
from tests.integration.processes import environment, owned
from tests.search.s3 import Door, Server

pytestmark = pytest.mark.slow
CAMPAIGN = {
    "name": "c",
    "data": {"synthetic": {"bars": 4500}},
    "trials": 3,
    "max_epochs": 4,
    "grace": 1,
    "sampler": "random",
    "incumbent": "quick_experiment",
    "incumbent_epochs": 1,
    "model": "quick",
    "ask": [],
    "space": {"batch_size": {"values": [64]}},
}


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "search", *arguments],
        cwd=folder,
        env=environment(folder) | {"PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _logs(folder: Path) -> list[study.TrialLog]:
    return study.read_trials(study.load(folder / "results" / "c" / results.JOURNAL_FILE, "c"))


def _wait_for(journal: Path, text: str, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while not (journal.exists() and journal.read_text().count(text) >= count):
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            raise AssertionError(process.communicate()[0])
        time.sleep(0.05)


def test_a_server_that_goes_away_and_comes_back_costs_nothing(tmp_path: Path) -> None:
    server = Server.started()
    door = Door(server)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(CAMPAIGN | {"storage": door.place}))
    with owned(tmp_path) as folder:
        process = _start(folder, "run", "c.yaml")
        _wait_for(folder / "results" / "c" / results.JOURNAL_FILE, '"kind":"result"', 1, process)
        door.close()
        assert process.stdout is not None
        for line in process.stdout:
            if "No trial is started until it does." in line:
                break
        time.sleep(6)  # long enough to be tried, and found away, once more
        door.open()
        said, _ = process.communicate(timeout=250)
    assert process.returncode == 0, said
    assert "The storage answers again." in said
    logs = _logs(folder)
    assert {log.outcome for log in logs} <= {"complete", "stopped"}
    assert [log.number for log in logs] == [0, 1, 2]
    assert not any(log.deaths or log.differences for log in logs)
    complete = {log.number for log in logs if log.outcome == "complete"}
    predictions = pd.read_parquet(folder / "results" / "c" / results.PREDICTIONS_FILE)
    assert set(predictions["number"]) == complete
    record = Storage(server.place).at("c")
    for path in (folder / "results" / "c").iterdir():
        assert record.read(f"record/{path.name}") == path.read_bytes()
    server.stop()


def test_a_campaign_whose_machine_is_lost_goes_on_on_another(tmp_path: Path) -> None:
    storage = tmp_path / "shared"
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(CAMPAIGN | {"storage": str(storage)}))
    journal = storage / "c" / "record" / results.JOURNAL_FILE
    with owned(tmp_path) as folder:
        process = _start(folder, "run", "c.yaml")
        _wait_for(journal, '"kind":"result"', 1, process)
        process.kill()
        process.communicate()
    shutil.rmtree(tmp_path / "results")
    with owned(tmp_path) as folder:
        process = _start(folder, "resume", "c", "--storage", str(storage))
        said, _ = process.communicate(timeout=250)
    assert process.returncode == 0, said
    logs = _logs(tmp_path)
    assert [log.number for log in logs] == [0, 1, 2]
    assert {log.outcome for log in logs} <= {"complete", "stopped"}
    assert not any(log.differences for log in logs)
    assert journal.read_bytes() == (tmp_path / "results" / "c" / results.JOURNAL_FILE).read_bytes()
