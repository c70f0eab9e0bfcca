"""A cluster that grows from no worker at all when a campaign asks for some, and shrinks again: Ray's fake provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers import tiny_campaign
from tests.helpers.processes import HANG_SECONDS, environment, owned, processes_of

PORT = 6379
"""The fake provider knows no other."""
CLUSTER = {
    "cluster_name": "fake",
    "max_workers": 2,
    "upscaling_speed": 1.0,
    "idle_timeout_minutes": 0.1,
    "provider": {
        "type": "fake_multinode",
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
    },
    "available_node_types": {
        "ray.head.default": {"resources": {}, "node_config": {}, "max_workers": 0},
        "ray.worker.default": {
            "resources": {"CPU": 1, "object_store_memory": 200_000_000},
            "node_config": {},
            "min_workers": 0,
            "max_workers": 2,
        },
    },
    "head_node_type": "ray.head.default",
    "auth": {},
    "docker": {},
    **{
        name: []
        for name in (
            "initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands",
            "head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files",
            "rsync_exclude", "rsync_filter",
        )
    },
    "file_mounts": {},
    "file_mounts_sync_continuously": False,
}  # fmt: skip


def _raylets(folder: Path) -> int:
    return sum(process.name() == "raylet" for process in processes_of(folder))


@pytest.mark.slow
def test_a_cluster_grows_from_zero_with_a_campaign_and_back(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text(json.dumps(CLUSTER))
    file = tiny_campaign.write_file(tmp_path, storage=str(tmp_path / "shared"), concurrency=2, max_epochs=2, grace=1)
    environ = environment(tmp_path) | {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "PYTHONPATH": str(Path.cwd()),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    head = [
        "ray", "start", "--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false",
        f"--autoscaling-config={tmp_path / 'cluster.json'}",
    ]  # fmt: skip
    with owned(tmp_path) as folder:
        subprocess.run(head, env=environ, check=True, capture_output=True, timeout=HANG_SECONDS)
        assert _raylets(folder) == 1
        command = [sys.executable, "-m", "search", "run", file, "--address", f"127.0.0.1:{PORT}"]
        most = 0
        with (folder / "output").open("w+") as output:
            process = subprocess.Popen(command, cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT)
            while process.poll() is None:
                most = max(most, _raylets(folder))
                time.sleep(0.5)
            assert process.returncode == 0, (folder / "output").read_text()
        deadline = time.monotonic() + HANG_SECONDS
        while _raylets(folder) > 1 and time.monotonic() < deadline:
            time.sleep(0.5)
        left = _raylets(folder)
    assert most == 3, "it did not grow to what the campaign asked for"
    assert left == 1, "it did not shrink again"
    logs = tiny_campaign.read_trials(folder)
    assert {log.outcome for log in logs} <= {"complete", "stopped"}
    assert [(log.number, log.attempts) for log in logs] == [(0, 1), (1, 1), (2, 1)]
