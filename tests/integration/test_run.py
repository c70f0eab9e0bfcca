"""The whole thread with real Ray: search, interrupt, export, train, as a user runs them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from core import presets
from core.config import HYPERPARAMETER_NAMES
from core.evaluation import metrics
from core.models import checkpoint
from search.results import ranking
from search.results.folder import (
    CONFIG_FILE,
    CURVES_FILE,
    JOURNAL_FILE,
    PREDICTIONS_FILE,
    RETURNS_FILE,
    STOP_FILE,
    SUMMARY_FILE,
    TRIALS_FILE,
    CampaignFolder,
)
from search.results.predictions import probabilities_of
from search.study.trial_record import COMPLETE, STOPPED
from tests.helpers.processes import HANG_SECONDS, environment, kill, left_after, owned, processes_of, trial_processes_of

TINY = """
name: tiny
trials: 6
max_epochs: 3
grace: 1
reduction: 3
incumbent_epochs: 2
train_incumbent: true
seed: 4
data:
  synthetic: {bars: 4200, seed: 11}
  window: 60
"""


def _command(*args: str, module: str = "search") -> list[str]:
    return [sys.executable, "-m", module, *args]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with owned(tmp_path_factory.mktemp("work")) as path:
        yield path


def _run(folder: Path, *args: str, module: str = "search") -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        _command(*args, module=module),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def campaign(folder: Path) -> tuple[Path, str]:
    (folder / "campaign.yaml").write_text(TINY)
    done = _run(folder, "run", "campaign.yaml")
    return folder / "results" / "tiny", done.stdout + done.stderr


def test_every_trial_is_in_the_table_and_some_were_stopped_early(campaign: tuple[Path, str]) -> None:
    trials = CampaignFolder(campaign[0]).read_trials()
    assert trials["number"].tolist() == list(range(6))
    assert set(trials["status"]) == {COMPLETE, STOPPED}
    assert (trials.loc[trials["status"] == COMPLETE, "epochs"] == 3).all()
    assert (trials.loc[trials["status"] == STOPPED, "epochs"] == 1).all()
    assert trials[list(HYPERPARAMETER_NAMES)].drop_duplicates().shape[0] == 6


def test_a_value_is_the_best_score_of_its_curve(campaign: tuple[Path, str]) -> None:
    trials = CampaignFolder(campaign[0]).read_trials()
    curves = pd.read_parquet(campaign[0] / CURVES_FILE)
    assert curves.groupby("number").size().tolist() == trials["epochs"].tolist()
    np.testing.assert_array_equal(curves.groupby("number")["val_auc"].max(), trials["value"])


def test_trials_are_stopped_as_asha_must_by_hand(campaign: tuple[Path, str]) -> None:
    # Whoever was stopped at the rung was outside the best third of those that had reached it, and is said to be.
    trials = CampaignFolder(campaign[0]).read_trials()
    curves = pd.read_parquet(campaign[0] / CURVES_FILE)
    at_rung = curves[curves["epoch"] == 1].set_index("number")["value"]
    for number in trials.loc[trials["status"] == STOPPED, "number"]:
        assert (at_rung > at_rung[number]).any()
    assert trials.loc[at_rung.idxmax(), "status"] == COMPLETE
    decided = curves[curves["epoch"] == 1]
    assert ((decided["rank"] <= decided["kept"]) == (decided["action"] == "continue")).all()
    assert sorted(decided["seen"]) == list(range(1, 7))


def test_the_outcome_names_winner_incumbent_majority_paths_and_the_next_command(campaign: tuple[Path, str]) -> None:
    folder, output = campaign
    for part in ("winner: trial #", "incumbent: production_small", "majority class", "SYNTHETIC", "not confirmed"):
        assert part in output
    names = ("campaign.yaml", "journal.log", "trials.parquet", "curves.parquet", "summary.json", "predictions.parquet")
    for name in (*names, "returns.parquet"):
        assert f"wrote results/tiny/{name}" in output
        assert (folder / name).is_file()
    assert "next: preset-search confirm tiny\nthen: preset-search export tiny --as tiny" in output


def test_the_summary_holds_what_was_printed(campaign: tuple[Path, str]) -> None:
    folder, output = campaign
    summary = json.loads((folder / SUMMARY_FILE).read_text())
    winner = ranking.find_winner(CampaignFolder(folder).read_trials())
    assert winner is not None
    assert summary["winner"]["number"] == winner.number
    assert summary["incumbent"]["epochs"] == 2
    for value in (winner.value, summary["incumbent"]["val"]["auc"], summary["majority"]["val"]["auc"]):
        assert f"{value:.4f}" in output


def test_the_campaigns_settings_are_resolved_on_file(campaign: tuple[Path, str]) -> None:
    content = yaml.safe_load((campaign[0] / CONFIG_FILE).read_text())
    assert content["config"]["trials"] == 6
    assert content["config"]["model"] in ("quick", "small")
    assert len(content["resolved"]["data"]["fingerprint"]) == 64
    assert set(content["resolved"]["versions"]) == {"preset-search", "torch", "ray", "optuna"}


def test_nothing_of_rays_is_left_behind(campaign: tuple[Path, str]) -> None:
    assert sorted(path.name for path in campaign[0].parent.iterdir()) == ["tiny"]
    assert left_after(campaign[0].parents[1]) == []


def test_the_exported_preset_is_the_winning_row_and_trains(campaign: tuple[Path, str]) -> None:
    folder = campaign[0].parents[1]
    assert "not confirmed" in _run(folder, "export", "tiny", "--as", "tiny").stdout
    path = folder / "presets" / "tiny.yaml"
    winner = ranking.find_winner(CampaignFolder(campaign[0]).read_trials())
    assert winner is not None
    loaded = presets.load_preset(str(path))
    assert loaded.hyperparameters == winner.hyperparameters
    text = path.read_bytes()
    _run(folder, "export", "tiny", "--as", "tiny")
    assert path.read_bytes() == text

    _run(folder, "--preset", "tiny", "--synthetic", "--epochs", "2", "--output-dir", "out", module="core")
    assert checkpoint.load_checkpoint(folder / "out" / "checkpoint.pt")["about"]["preset"] == loaded.model_dump(
        mode="json"
    )
    report = json.loads((folder / "out" / "metrics.json").read_text())
    assert report["training"]["trainer"]["learning_rate"] == winner.hyperparameters.learning_rate
    assert len(report["history"]) == 2


def test_every_proposal_can_be_made_again(campaign: tuple[Path, str]) -> None:
    output = _run(campaign[0].parents[1], "replay", "tiny").stdout
    assert "6 of 6 proposals are equal to the last bit" in output


def test_the_predictions_are_those_of_the_full_fidelity_trials(campaign: tuple[Path, str]) -> None:
    trials = CampaignFolder(campaign[0]).read_trials().set_index("number")
    table = pd.read_parquet(campaign[0] / PREDICTIONS_FILE)
    assert set(table["number"]) == set(trials.index[trials["status"] == COMPLETE])
    for number, mine in table.groupby("number"):
        auc = metrics.multiclass_auc(mine["label"].to_numpy(), probabilities_of(mine))
        assert auc == pytest.approx(trials.loc[number, "val_auc"], abs=1e-6)


def _start(folder: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        _command(*args),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _wait_for_results(journal: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until so many epochs are written down."""
    deadline = time.monotonic() + HANG_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if journal.is_file() and journal.read_text().count('"kind":"result"') >= count:
            return
        time.sleep(0.05)
    raise AssertionError("the campaign did not get that far")


def test_ctrl_c_keeps_all_finished_epochs_and_the_campaign_can_be_resumed(folder: Path) -> None:
    (folder / "stopped.yaml").write_text(TINY.replace("name: tiny", "name: stopped"))
    path = folder / "results" / "stopped"
    with _start(folder, "run", "stopped.yaml") as process:
        _wait_for_results(path / JOURNAL_FILE, 3, process)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 130, output
    assert "next: preset-search resume stopped" in output
    assert json.loads((path / SUMMARY_FILE).read_text())["ended_by"] == "interrupted"
    assert left_after(folder) == []
    before = (path / JOURNAL_FILE).read_bytes()
    assert "Ended by: trials" in _run(folder, "resume", "stopped").stdout
    assert (path / JOURNAL_FILE).read_bytes().startswith(before)


def _same_tables(one: Path, other: Path) -> None:
    for name in (TRIALS_FILE, CURVES_FILE, PREDICTIONS_FILE, RETURNS_FILE):
        first, second = (pd.read_parquet(path / name) for path in (one, other))
        apart = [column for column in ("seconds", "attempts") if column in first]
        pd.testing.assert_frame_equal(first.drop(columns=apart), second.drop(columns=apart))


def test_a_killed_campaign_resumed_gives_the_tables_of_one_never_killed(folder: Path) -> None:
    for name in ("whole", "killed"):
        (folder / f"{name}.yaml").write_text(TINY.replace("name: tiny", f"name: {name}\nconcurrency: 1"))
    _run(folder, "run", "whole.yaml")
    path = folder / "results" / "killed"
    with _start(folder, "run", "killed.yaml") as process:
        _wait_for_results(path / JOURNAL_FILE, 4, process)
        process.kill()
        process.communicate()
    kill(processes_of(folder))
    with (path / JOURNAL_FILE).open("ab") as journal:
        journal.write(b'{"op_code": 7, "torn')
    (path / (JOURNAL_FILE + ".lock")).touch()
    _run(folder, "resume", "killed")
    _same_tables(folder / "results" / "whole", path)
    # More trials go on from there.
    output = _run(folder, "resume", "killed", "--trials", "7").stdout
    assert "Ended by: trials" in output
    assert len(CampaignFolder(path).read_trials()) == 7


def test_a_running_campaign_can_be_asked_to_stop_and_has_one_driver(folder: Path) -> None:
    # Epochs that take so long that the campaign has not ended before it is asked to stop.
    (folder / "asked.yaml").write_text(TINY.replace("name: tiny", "name: asked").replace("bars: 4200", "bars: 9000"))
    path = folder / "results" / "asked"
    with _start(folder, "run", "asked.yaml") as process:
        _wait_for_results(path / JOURNAL_FILE, 1, process)
        second = subprocess.run(
            _command("resume", "asked"),
            cwd=folder,
            env=environment(folder),
            capture_output=True,
            text=True,
            timeout=HANG_SECONDS,
        )
        assert second.returncode == 2
        assert "is being run by another process" in second.stderr
        assert "was asked to stop" in _run(folder, "stop", "asked").stdout
        output, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, output
    assert "Stopped. next: preset-search resume asked" in output
    _run(folder, "resume", "asked")
    assert len(CampaignFolder(path).read_trials()) == 6
    assert not (path / STOP_FILE).exists()


@pytest.mark.slow
def test_trials_and_an_incumbent_whose_processes_are_killed_are_restarted(folder: Path) -> None:
    text = TINY.replace("name: tiny", "name: hurt").replace("incumbent_epochs: 2", "incumbent_epochs: 12")
    (folder / "hurt.yaml").write_text(text)
    path = folder / "results" / "hurt"
    with _start(folder, "run", "hurt.yaml") as process:
        _wait_for_results(path / JOURNAL_FILE, 1, process)
        hurt = trial_processes_of(folder)
        kinds = {process.cmdline()[0].split(".")[0].split("::")[1].strip() for process in hurt}
        kill(hurt)
        output, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, output
    trials = CampaignFolder(path).read_trials()
    assert trials["number"].tolist() == list(range(6))
    assert set(trials["status"]) <= {COMPLETE, STOPPED}
    assert trials["attempts"].max() > 1
    assert kinds == {"ResourceTrainable", "_train"}
    assert json.loads((path / SUMMARY_FILE).read_text())["incumbent"]["epochs"] == 12


def test_a_machine_on_which_ray_cannot_start_is_told_in_one_line_with_the_remedy(tmp_path: Path) -> None:
    long = tmp_path / ("long" * 30)  # the path of a socket has at most 107 bytes
    long.mkdir()
    variables = {**environment(tmp_path), "TMPDIR": str(long)}
    variables.pop("RAY_TMPDIR", None)
    command = _command("run", "--synthetic", "--name", "x", "--dry-run")
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )
    assert done.returncode == 2, done.stderr
    error = " ".join(done.stderr[done.stderr.index("error: ") :].split())
    assert error.startswith("error: Ray cannot be started on this machine (")
    assert error.endswith("Name a folder of your own with a short path for its files: RAY_TMPDIR=/tmp/ray_$USER.")
    assert "Traceback" not in done.stderr
