"""Campaigns over several real raylets, as a user starts them; nodes die, are cut off, or are not as they should be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

from core.config import parse
from search.config import CampaignConfig, study_settings
from search.results.folder import DRIVER_LOG_FILE, PREDICTIONS_FILE
from search.study.replay import replay_study
from tests.helpers import tiny_campaign
from tests.helpers.processes import HANG_SECONDS, environment, owned
from tests.helpers.ray_nodes import auth, cluster
from tests.helpers.tiny_campaign import CAMPAIGN


def _run(folder: Path, address: str, **changes: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "search", "run", tiny_campaign.write_file(folder, **changes), "--address", address]
    return subprocess.Popen(
        command, cwd=folder, env=_environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _environment(folder: Path) -> dict[str, str]:
    return environment(folder) | auth() | {"PYTHONPATH": str(Path.cwd())}


def _refused(folder: Path, address: str, **changes: Any) -> str:
    process = _run(folder, address, **changes)
    output, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 2, output
    assert not (folder / "results" / "c").exists()
    (line,) = [line for line in output.splitlines() if line.startswith("error:")]
    return line


def _with_a_trial(pids: list[int]) -> int:
    """The raylet, of some, on which a trial is being trained."""
    for pid in pids:
        for child in psutil.Process(pid).children(recursive=True):
            if "ResourceTrainable" in " ".join(child.cmdline()) or "TrainingTrial" in " ".join(child.cmdline()):
                return pid
    pytest.fail("no trial is being trained")


@pytest.mark.parametrize(
    "how",
    [pytest.param(signal.SIGKILL, id="killed"), pytest.param(signal.SIGSTOP, id="cut off", marks=pytest.mark.slow)],
)
def test_the_trials_of_a_lost_node_continue_elsewhere_and_count_once(tmp_path: Path, how: signal.Signals) -> None:
    nodes = ({"num_cpus": 0}, {"num_cpus": 2, "num_gpus": 1}, {"num_cpus": 2, "num_gpus": 1})
    with owned(tmp_path) as folder, cluster(folder, *nodes) as raylets:
        # Whoever is cut off is noticed after some seconds: trials have to take longer.
        longer = {} if how == signal.SIGKILL else {"max_epochs": 16, "grace": 16}
        process = _run(folder, raylets.address, **longer)
        tiny_campaign.wait_for(tiny_campaign.journal(folder), "result", 2, process)
        # Only the raylet: what it had started lives on, as on a machine that the network has lost.
        os.kill(_with_a_trial(raylets.pids[1:]), how)
        output, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0, output
    logs = tiny_campaign.read_trials(folder)
    assert [log.number for log in logs] == [0, 1, 2]
    assert {log.outcome for log in logs} <= {"complete", "stopped"}
    assert any(log.attempts > 1 and log.deaths for log in logs), "nobody was lost: the test shows nothing"
    # Ray says so in words alone. If they change, the loss would count as a death of the trial's own.
    entries = [json.loads(line) for line in (folder / "results" / "c" / DRIVER_LOG_FILE).read_text().splitlines()]
    failures = [entry for entry in entries if entry["message"] == "trial process failed"]
    found = {(entry["cause"], entry["consequence"], entry["deaths"]) for entry in failures}
    assert found == {("lost node", "retry", 0)}, failures
    assert all(list(log.epochs) == list(range(1, log.last_epoch + 1)) for log in logs)
    assert not any(log.differences for log in logs)  # on a CPU, what was run again came out the same to the last bit
    settings = study_settings(parse(CampaignConfig, CAMPAIGN, "test"))
    found = replay_study(tiny_campaign.journal(folder), settings)
    assert (found.proposals, found.equal) == (3, 3)
    predictions = pd.read_parquet(folder / "results" / "c" / PREDICTIONS_FILE)
    complete = {log.number for log in logs if log.outcome == "complete"}
    assert set(predictions["number"]) == complete
    assert len(set(predictions.groupby("number").size())) == 1


def test_nodes_that_would_spoil_a_campaign_are_named_before_it_begins(tmp_path: Path) -> None:
    other = tmp_path / "other" / "optuna-4.0.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: optuna\nVersion: 4.0.0\n")
    skewed = {"num_cpus": 1, "env": {"PYTHONPATH": f"{other.parent}{os.pathsep}{Path.cwd()}"}}
    with owned(tmp_path) as folder, cluster(folder, {"num_cpus": 1}, skewed) as raylets:
        output = _refused(folder, raylets.address)
        assert "has optuna 4.0.0 (the driver has" in output
        assert "Install the same wheel and constraints on every node" in output
        no_data = {"symbols": ["NOSUCH"], "offline": True, "store": "nowhere"}
        assert "nowhere" in _refused(folder, raylets.address, data=no_data)
        assert "room for a trial of 64 CPU" in _refused(folder, raylets.address, cpus_per_trial=64)
        assert "contains credentials" in _refused(folder, raylets.address, storage="s3://key:secret@bucket")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="takes a mount namespace of its own")
def test_a_storage_that_is_not_shared_is_found_out_before_the_first_trial(tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    storage.mkdir()
    with owned(tmp_path) as folder, cluster(folder, {"num_cpus": 1}) as raylets:
        # Another machine's disk: the same path, and other files.
        own = f"mount -t tmpfs none {storage} && exec ray start --address={raylets.address} --num-cpus=1 --block"
        command = ["unshare", "--mount", "sh", "-c", own]
        environ = _environment(folder) | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as node:
            assert node.stdout is not None
            for line in node.stdout:
                if b"Ray runtime started" in line:
                    break
            output = _refused(folder, raylets.address, storage=str(storage))
            node.kill()
    assert "does not see what" in output
    assert "it is not shared" in output
    assert "storage: s3://" in output


@pytest.mark.slow
def test_without_the_clusters_token_joining_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a" * 64)
    with owned(tmp_path) as folder, cluster(folder, {"num_cpus": 1}) as raylets:
        monkeypatch.setenv("RAY_AUTH_TOKEN", "b" * 64)
        output = _refused(folder, raylets.address)
    assert "RAY_AUTH_MODE=token" in output
    assert "bbbb" not in output


def test_an_address_where_no_cluster_answers_is_an_error_in_one_line(tmp_path: Path) -> None:
    with owned(tmp_path) as folder:
        assert "No Ray cluster answers this machine at 127.0.0.1:1" in _refused(folder, "127.0.0.1:1")


@pytest.mark.slow
def test_a_stop_request_is_obeyed_while_all_trials_wait_for_nodes(tmp_path: Path) -> None:
    storage = tmp_path / "shared"
    with owned(tmp_path) as folder, cluster(folder, {"num_cpus": 0}) as raylets:
        process = _run(folder, raylets.address, concurrency=2, storage=str(storage))
        tiny_campaign.wait_for(tiny_campaign.journal(folder), "ask", 2, process)
        stop = [sys.executable, "-m", "search", "stop", "c"]
        subprocess.run(
            stop, cwd=folder, env=_environment(folder), check=True, capture_output=True, timeout=HANG_SECONDS
        )
        output, _ = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 130, output
    assert not tiny_campaign.journal(folder).parent.exists()  # of what was never begun nothing is kept, there or here
    assert not [path for path in storage.rglob("record/*") if path.is_file()]


BUSY = """
import sys, ray
from search.cluster import session
session._BUSY_SECONDS = 2.0
with session.join_cluster(sys.argv[1]) as free:
    holder = ray.remote(num_gpus=1)(type("Holder", (), {"ready": lambda self: True})).remote()
    ray.get(holder.ready.remote())
    print([node.visible_gpus for node in (*free, *session.describe_nodes())])
"""


@pytest.mark.slow
def test_a_node_whose_gpus_are_all_in_use_counts_as_alive(tmp_path: Path) -> None:
    with owned(tmp_path) as folder, cluster(folder, {"num_cpus": 2, "num_gpus": 1}) as raylets:
        command = [sys.executable, "-c", BUSY, raylets.address]
        done = subprocess.run(command, env=_environment(folder), capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.stdout == "[0, 1]\n", done.stderr  # there is no GPU: who looks sees none
