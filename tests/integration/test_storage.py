"""Whole campaigns whose files lie behind S3: the server goes away and comes back, and the driver's disk is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from search.results.folder import CELLS, DRIVER_LOG_FILE, JOURNAL_FILE, PREDICTIONS_FILE
from search.storage.filesystem import Storage
from search.storage.segments import read_segmented
from search.study import study
from tests.helpers import tiny_campaign
from tests.helpers.object_stores import S3Server, Tunnel
from tests.helpers.processes import HANG_SECONDS, environment, owned

SOONER = {"grace": 1, "incumbent_epochs": 1}


def _backed_up(folder: Path) -> list[Path]:
    """Return the files of a concluded campaign that its storage must hold, too: all but the driver's log."""
    return [path for path in folder.iterdir() if path.name != DRIVER_LOG_FILE]


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "search", *arguments],
        cwd=folder,
        env=environment(folder) | {"PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_server_that_goes_away_and_comes_back_costs_nothing(tmp_path: Path) -> None:
    server = S3Server.start()
    tunnel = Tunnel(server)
    file = tiny_campaign.write_file(tmp_path, storage=tunnel.location, **SOONER)
    with owned(tmp_path) as folder:
        process = _start(folder, "run", file)
        tiny_campaign.wait_for(tiny_campaign.journal(folder), "result", 1, process)
        tunnel.close()
        assert process.stdout is not None
        for line in process.stdout:
            if "No training is started until the storage is available again." in line:
                break
        time.sleep(6)  # long enough to be tried, and found away, once more
        tunnel.open()
        output, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, output
    assert "The storage is available again." in output
    logs = tiny_campaign.read_trials(folder)
    assert {log.outcome for log in logs} <= {"complete", "stopped"}
    assert [log.number for log in logs] == [0, 1, 2]
    assert not any(log.deaths or log.differences for log in logs)
    complete = {log.number for log in logs if log.outcome == "complete"}
    predictions = pd.read_parquet(folder / "results" / "c" / PREDICTIONS_FILE)
    assert set(predictions["number"]) == complete
    record = Storage(server.location).subfolder("c")
    for path in _backed_up(folder / "results" / "c"):
        read = read_segmented if path.name == JOURNAL_FILE else Storage.read
        assert read(record, f"record/{path.name}") == path.read_bytes()
    server.stop()


def _read_backup(storage: Path) -> bytes:
    """Return the journal of campaign c from its backup, which holds it in segments."""
    return read_segmented(Storage(str(storage)).subfolder("c"), f"record/{JOURNAL_FILE}")


@pytest.mark.slow
def test_a_campaign_whose_machine_is_lost_continues_on_another(tmp_path: Path) -> None:
    storage = tmp_path / "shared"
    file = tiny_campaign.write_file(tmp_path, storage=str(storage), **SOONER)
    journal = storage / "c" / "record" / JOURNAL_FILE
    with owned(tmp_path) as folder:
        process = _start(folder, "run", file)
        tiny_campaign.wait_for(journal, "result", 1, process)
        process.kill()
        process.communicate()
    shutil.rmtree(tmp_path / "results")
    with owned(tmp_path) as folder:
        process = _start(folder, "resume", "c", "--storage", str(storage))
        output, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, output
    logs = tiny_campaign.read_trials(tmp_path)
    assert [log.number for log in logs] == [0, 1, 2]
    assert {log.outcome for log in logs} <= {"complete", "stopped"}
    assert not any(log.differences for log in logs)
    assert _read_backup(storage) == tiny_campaign.journal(tmp_path).read_bytes()


@pytest.mark.slow
def test_a_confirmation_whose_machine_is_lost_continues_on_another(tmp_path: Path) -> None:
    storage = tmp_path / "shared"
    file = tiny_campaign.write_file(tmp_path, storage=str(storage), **SOONER)
    confirm = ("confirm", "c", "--top", "1", "--seeds", "1", "--folds", "3")
    cells = storage / "c" / "record" / CELLS
    with owned(tmp_path) as folder:
        output, _ = _start(folder, "run", file).communicate(timeout=HANG_SECONDS)
        process = _start(folder, *confirm)
        while not list(cells.glob("*/row.json")):
            assert process.poll() is None, output
            time.sleep(0.1)
        process.kill()
        process.communicate()
    done = len(list(cells.glob("*/row.json")))
    shutil.rmtree(tmp_path / "results")
    with owned(tmp_path) as folder:
        output, _ = _start(folder, "resume", "c", "--storage", str(storage)).communicate(timeout=HANG_SECONDS)
        assert len(list((folder / "results" / "c" / CELLS).glob("*/row.json"))) == done, output
        process = _start(folder, *confirm)
        output, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, output
    for path in _backed_up(tmp_path / "results" / "c"):
        assert (storage / "c" / "record" / path.name).read_bytes() == path.read_bytes()
    assert not list(cells.glob("*/*"))


@pytest.mark.slow
def test_of_two_drivers_the_later_one_continues(tmp_path: Path) -> None:
    storage = tmp_path / "shared"
    journal = storage / "c" / "record" / JOURNAL_FILE
    with owned(tmp_path) as folder:
        file = tiny_campaign.write_file(folder, storage=str(storage), trials=6, max_epochs=9, grace=9)
        first = _start(folder, "run", file)
        tiny_campaign.wait_for(journal, "result", 2, first)
        second = _start(folder, "resume", "c", "--storage", str(storage), "--results", "elsewhere")
        lost, _ = first.communicate(timeout=HANG_SECONDS)
        output, _ = second.communicate(timeout=HANG_SECONDS)
    assert first.returncode == 2, lost
    assert "error: Campaign c was taken over by another driver; this one stops." in lost
    assert second.returncode == 0, output
    logs = study.read_trials(study.load_study(folder / "elsewhere" / "c" / JOURNAL_FILE, "c"))
    assert [log.number for log in logs] == list(range(6))
    assert {log.outcome for log in logs} == {"complete"}
    assert not any(log.differences for log in logs)
    assert _read_backup(storage) == (folder / "elsewhere" / "c" / JOURNAL_FILE).read_bytes()
