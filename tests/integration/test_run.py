"""The whole thread with real Ray: search, interrupt, export, train, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml

from core import checkpoint, preset
from search import results
from search.space import NAMES

TINY = """
name: tiny
trials: 6
max_epochs: 3
grace: 1
reduction: 3
incumbent_epochs: 2
seed: 4
data:
  synthetic: {bars: 4200, seed: 11}
"""


def _command(*args: str, module: str = "search") -> list[str]:
    return [sys.executable, "-m", module, *args]


def _ray_processes_of(folder: Path) -> list[psutil.Process]:
    """Ray's processes that were started from this folder (they inherit it, or name it in their environment)."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TEST_RAY_OWNER") == str(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("work")
    yield path
    left = _ray_processes_of(path)
    for process in left:
        process.kill()
    psutil.wait_procs(left, timeout=10)


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TEST_RAY_OWNER": str(folder)}


def _run(folder: Path, *args: str, module: str = "search") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        _command(*args, module=module),
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def campaign(folder: Path) -> tuple[Path, str]:
    (folder / "campaign.yaml").write_text(TINY)
    done = _run(folder, "run", "campaign.yaml")
    return folder / "results" / "tiny", done.stdout + done.stderr


def test_every_trial_is_in_the_table_and_some_were_stopped_early(campaign: tuple[Path, str]) -> None:
    trials = results.read_trials(campaign[0])
    assert trials["number"].tolist() == list(range(6))
    assert set(trials["status"]) == {results.COMPLETE, results.STOPPED}
    assert (trials.loc[trials["status"] == results.COMPLETE, "epochs"] == 3).all()
    assert (trials.loc[trials["status"] == results.STOPPED, "epochs"] == 1).all()
    assert trials[list(NAMES)].drop_duplicates().shape[0] == 6


def test_a_value_is_the_best_score_of_its_curve(campaign: tuple[Path, str]) -> None:
    trials = results.read_trials(campaign[0])
    curves = pd.read_parquet(campaign[0] / results.CURVES_FILE)
    assert curves.groupby("number").size().tolist() == trials["epochs"].tolist()
    np.testing.assert_array_equal(curves.groupby("number")["val_macro_f1"].max(), trials["value"])


def test_trials_are_stopped_as_asha_must_by_hand(campaign: tuple[Path, str]) -> None:
    # Whoever was stopped at the rung was outside the best third of some that had reached it.
    trials = results.read_trials(campaign[0])
    curves = pd.read_parquet(campaign[0] / results.CURVES_FILE)
    at_rung = curves[curves["epoch"] == 1].set_index("number")["value"]
    for number in trials.loc[trials["status"] == results.STOPPED, "number"]:
        assert (at_rung > at_rung[number]).any()
    assert trials.loc[at_rung.idxmax(), "status"] == results.COMPLETE


def test_the_outcome_names_winner_incumbent_majority_paths_and_the_next_command(campaign: tuple[Path, str]) -> None:
    folder, told = campaign
    for part in ("winner: trial #", "incumbent: production_small", "majority class", "SYNTHETIC", "not confirmed"):
        assert part in told
    for name in (results.CONFIG_FILE, results.TRIALS_FILE, results.CURVES_FILE, results.SUMMARY_FILE):
        assert f"wrote results/tiny/{name}" in told
        assert (folder / name).is_file()
    assert "next: preset-search export tiny --as tiny" in told


def test_the_summary_holds_what_was_printed(campaign: tuple[Path, str]) -> None:
    folder, told = campaign
    summary = json.loads((folder / results.SUMMARY_FILE).read_text())
    row = results.winner(results.read_trials(folder))
    assert row is not None
    assert summary["winner"]["number"] == row["number"]
    assert summary["incumbent"]["epochs"] == 2
    for value in (row["value"], summary["incumbent"]["val"]["macro_f1"], summary["majority"]["val"]["macro_f1"]):
        assert f"{value:.4f}" in told


def test_the_campaigns_settings_are_resolved_on_file(campaign: tuple[Path, str]) -> None:
    content = yaml.safe_load((campaign[0] / results.CONFIG_FILE).read_text())
    assert content["config"]["trials"] == 6
    assert content["config"]["model"] in ("quick", "small")
    assert len(content["resolved"]["data"]["fingerprint"]) == 64
    assert set(content["resolved"]["versions"]) == {"preset-search", "torch", "ray", "optuna"}


def test_nothing_of_rays_is_left_behind(campaign: tuple[Path, str]) -> None:
    assert sorted(path.name for path in campaign[0].parent.iterdir()) == ["tiny"]
    assert _ray_processes_of(campaign[0].parents[1]) == []


def test_the_exported_preset_is_the_winning_row_and_trains(campaign: tuple[Path, str]) -> None:
    folder = campaign[0].parents[1]
    assert "not confirmed" in _run(folder, "export", "tiny", "--as", "tiny").stdout
    path = folder / "presets" / "tiny.yaml"
    row = results.winner(results.read_trials(campaign[0]))
    assert row is not None
    loaded = preset.load(str(path))
    assert loaded.hyperparameters.model_dump() == {name: row[name] for name in NAMES}
    text = path.read_bytes()
    _run(folder, "export", "tiny", "--as", "tiny")
    assert path.read_bytes() == text

    _run(folder, "--preset", "tiny", "--synthetic", "--epochs", "2", "--output-dir", "out", module="core")
    assert checkpoint.load(folder / "out" / "checkpoint.pt")["about"]["preset"] == loaded.model_dump(mode="json")
    report = json.loads((folder / "out" / "metrics.json").read_text())
    assert report["training"]["trainer"]["learning_rate"] == row["learning_rate"]
    assert len(report["history"]) == 2


def test_ctrl_c_keeps_the_trials_that_had_ended(folder: Path) -> None:
    args = ("run", "--name", "stopped", "--trials", "200", "--max-epochs", "2")
    with subprocess.Popen(
        _command(*args),
        cwd=folder,
        env=_environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        table = folder / "results" / "stopped" / results.TRIALS_FILE
        deadline = time.monotonic() + 120
        while not table.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "Interrupted: the trials that had ended were kept" in told
    trials = results.read_trials(table.parent)
    ended = trials[trials["status"].isin([results.COMPLETE, results.STOPPED])]
    assert 0 < len(ended) < 200
    assert json.loads((table.parent / results.SUMMARY_FILE).read_text())["interrupted"] is True
    assert "next: preset-search export stopped" in told
    assert _ray_processes_of(folder) == []
