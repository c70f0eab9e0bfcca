"""A confirmation on real Ray: killed and gone on with, ended by hand, and read only once."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from search.report.write import REPORT_FILE
from search.results import manifest
from search.results.folder import CELLS, CONFIRMATION_FILE, MANIFEST_FILE, ROW_FILE, VERDICT_FILE, CampaignFolder
from tests.helpers.campaigns import NAME, make_searched_campaign
from tests.helpers.processes import HANG_SECONDS, environment, kill, left_after, owned, processes_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with owned(tmp_path_factory.mktemp("confirm")) as made:
        make_searched_campaign(made / "whole")
        for name in ("killed", "ctrl-c", "stop", "term"):
            shutil.copytree(made / "whole", made / name)
        yield made


def _command(*args: str) -> list[str]:
    return [sys.executable, "-m", "search", *args]


def _start(folder: Path, root: str, in_background: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command("confirm", NAME, "--results", root),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # As a shell starts its background jobs: they do not hear Ctrl-C.
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if in_background else None,
    )


def _run(folder: Path, *args: str, code: int = 0) -> str:
    done = subprocess.run(
        _command(*args), cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=HANG_SECONDS
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def _done(folder: Path, root: str) -> dict[Path, float]:
    """The cells that are done, and when."""
    found = (folder / root / NAME / CELLS).glob(f"*/{ROW_FILE}")
    return {path: path.stat().st_mtime for path in found}


def _wait(folder: Path, root: str, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + HANG_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if len(_done(folder, root)) >= count:
            return
        time.sleep(0.05)
    raise AssertionError("the confirmation did not get that far")


def test_a_killed_confirmation_keeps_its_cells_and_ends_like_one_never_killed(folder: Path) -> None:
    with _start(folder, "killed") as process:
        _wait(folder, "killed", 4, process)
        process.kill()
        process.communicate()
    kill(processes_of(folder))
    before = _done(folder, "killed")
    assert 4 <= len(before) < 12
    damaged = next(iter(before))
    damaged.write_text("{")  # it is trained again
    del before[damaged]
    with _start(folder, "killed") as process:
        _wait(folder, "killed", len(before) + 2, process)
        after = _done(folder, "killed")
        assert {path: after[path] for path in before} == before  # none was trained again
        shutil.copy(folder / "killed" / NAME / MANIFEST_FILE, folder)
        _wait(folder, "killed", 12, process)
        shutil.copytree(folder / "killed" / NAME / CELLS, folder / "cells")
        output, _ = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0, output
    _run(folder, "confirm", NAME, "--results", "whole")
    one, other = (folder / root / NAME for root in ("whole", "killed"))
    assert "Content-Security-Policy" in (one / REPORT_FILE).read_text(encoding="utf-8")
    assert (one / VERDICT_FILE).read_bytes() == (other / VERDICT_FILE).read_bytes()
    for name in ("predictions.parquet", "returns.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(one / name), pd.read_parquet(other / name))
    tables = [pd.read_parquet(path / CONFIRMATION_FILE).drop(columns="seconds") for path in (one, other)]
    pd.testing.assert_frame_equal(*tables)
    beside = tables[0][tables[0]["neighbour"].notna()]
    assert len(tables[0]) == 12 + len(beside) + 1
    assert 5 <= beside["number"].nunique() <= 6
    assert (beside.groupby("number").size() == 2).all()  # once on each fold
    manifest.check_manifest(CampaignFolder(other))
    assert left_after(folder) == []


def test_one_killed_between_verdict_and_manifest_is_concluded_by_the_same_command(folder: Path) -> None:
    path = folder / "killed" / NAME
    before = (path / VERDICT_FILE).read_bytes()
    shutil.copytree(path, folder / "torn" / NAME)
    torn = folder / "torn" / NAME
    # As it is then: the cells are still there, the manifest is that of the search.
    shutil.copytree(folder / "cells", torn / CELLS)
    shutil.copy(folder / "manifest.json", torn / MANIFEST_FILE)
    _run(folder, "confirm", NAME, "--results", "torn")
    assert (torn / VERDICT_FILE).read_bytes() == before
    manifest.check_manifest(CampaignFolder(torn))
    assert not (torn / CELLS).exists()


def test_test_is_read_once_and_what_was_confirmed_is_not_searched_on(folder: Path) -> None:
    path = folder / "whole" / NAME / VERDICT_FILE
    if not path.exists():
        _run(folder, "confirm", NAME, "--results", "whole")
    before = path.read_bytes()
    assert "the test rows are read only once" in _run(folder, "confirm", NAME, "--seeds", "5", "--results", "whole")
    assert "has read its test span" in _run(folder, "resume", NAME, "--trials", "9", "--results", "whole", code=2)
    assert path.read_bytes() == before
    assert "export small" not in _run(folder, "export", NAME, "--as", "mine", "--results", "whole")
    assert "mine.yaml: unchanged" in _run(folder, "regenerate", "--all", "--check", "--results", "whole")


@pytest.mark.parametrize("how", ["ctrl-c", "stop", "term"])
def test_what_was_trained_is_kept_when_it_is_ended_by_hand(folder: Path, how: str) -> None:
    with _start(folder, how, in_background=how == "term") as process:
        _wait(folder, how, 1, process)
        if how == "ctrl-c":
            assert "is being run by another process" in _run(folder, "confirm", NAME, "--results", how, code=2)
        if how == "stop":
            assert "was asked to stop" in _run(folder, "stop", NAME, "--results", how)
        else:
            process.send_signal(signal.SIGINT if how == "ctrl-c" else signal.SIGTERM)
        output, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 130, output
    assert f"Finished trainings are kept. next: preset-search confirm small --results {how}" in output
    assert _done(folder, how)
    assert not (folder / how / NAME / VERDICT_FILE).exists()
