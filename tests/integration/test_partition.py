"""A network that fails for a minute between the driver and one node: two network namespaces and a cable."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers import tiny_campaign
from tests.helpers.processes import HANG_SECONDS, environment, owned
from tests.helpers.ray_nodes import auth

CUT_SECONDS, TRIALS = 60, 8
HEAD, NODE = "10.77.0.1", "10.77.0.2"


@contextmanager
def _two_networks() -> Iterator[tuple[str, str]]:
    """The names of two network namespaces that see each other and nothing else."""
    mark = secrets.token_hex(3)
    names = f"{mark}a", f"{mark}b"
    commands = [
        *(f"ip netns add {name}" for name in names),
        f"ip link add v{names[0]} netns {names[0]} type veth peer name v{names[1]} netns {names[1]}",
        *(f"ip -n {name} addr add {address}/24 dev v{name}" for name, address in zip(names, (HEAD, NODE), strict=True)),
        *(f"ip -n {name} link set {device} up" for name in names for device in ("lo", f"v{name}")),
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True, capture_output=True)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _possible() -> bool:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    try:
        with _two_networks():
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def _inside(network: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", network, *command]


@pytest.mark.slow
@pytest.mark.skipif(not _possible(), reason="takes network namespaces of its own")
def test_a_node_that_is_cut_off_for_a_minute_costs_no_trial(tmp_path: Path) -> None:
    file = tiny_campaign.write_file(tmp_path, trials=TRIALS, max_epochs=9, grace=3)
    environ = environment(tmp_path) | auth() | {
        "PYTHONPATH": str(Path.cwd()),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    quiet = ["--include-dashboard=false", "--num-cpus=1"]
    with owned(tmp_path) as folder, _two_networks() as (here, there):
        head = ["ray", "start", "--head", f"--node-ip-address={HEAD}", "--port=6379", *quiet]
        node = ["ray", "start", f"--address={HEAD}:6379", f"--node-ip-address={NODE}", "--num-cpus=1"]
        for network, command in ((here, head), (there, node)):
            subprocess.run(
                _inside(network, *command), env=environ, check=True, capture_output=True, timeout=HANG_SECONDS
            )
        run = [sys.executable, "-m", "search", "run", file, "--address", f"{HEAD}:6379"]
        with (folder / "output").open("w+") as output:
            process = subprocess.Popen(
                _inside(here, *run), cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT
            )
            tiny_campaign.wait_for(tiny_campaign.journal(folder), "result", 4, process)
            subprocess.run(["ip", "-n", here, "link", "set", f"v{here}", "down"], check=True)
            time.sleep(CUT_SECONDS)
            subprocess.run(["ip", "-n", here, "link", "set", f"v{here}", "up"], check=True)
            process.wait(timeout=HANG_SECONDS)
        output = (folder / "output").read_text()
    assert process.returncode == 0, output
    logs = tiny_campaign.read_trials(tmp_path)
    assert [log.number for log in logs] == list(range(TRIALS))
    assert {log.outcome for log in logs} <= {"complete", "stopped"}
    assert any(log.deaths for log in logs), "nobody was cut off: the test shows nothing"
    assert all(list(log.epochs) == list(range(1, log.last_epoch + 1)) for log in logs)
    assert not any(log.differences for log in logs)
