"""Several real raylets on one machine: `python -m tests.helpers.ray_nodes NODES`, which are dicts in JSON.

The first is the head's. A node may name `env`, which its raylet and the workers of that are started with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.processes import environment

SOON = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}
"""A node that does not answer is given up within seconds instead of half a minute."""


@dataclass(frozen=True)
class Cluster:
    """Raylets that run.

    Attributes:
        address: of the head.
        pids: of the raylets, in the order of the nodes.
    """

    address: str
    pids: list[int]


def auth() -> dict[str, str]:
    """No tokens, unless a test says so: what lies in the home folder of this machine plays no part."""
    return {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "disabled")}


@contextmanager
def cluster(folder: Path, *nodes: dict[str, Any]) -> Iterator[Cluster]:
    """Raylets for as long as the block lasts; those who own the folder end what is left of them."""
    command = [sys.executable, "-m", "tests.helpers.ray_nodes", json.dumps(nodes)]
    errors = folder / "raylets.log"
    with (
        errors.open("w") as told,
        subprocess.Popen(
            command,
            env=environment(folder) | auth(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, errors.read_text()
        try:
            yield Cluster(**json.loads(line))
        finally:
            process.kill()


def main(nodes: list[dict[str, Any]]) -> None:
    """Start them, say where they are, and stay."""
    from ray.cluster_utils import Cluster as Raylets

    head, *others = nodes
    print_to, sys.stdout = sys.stdout, sys.stderr
    raylets = Raylets(initialize_head=True, head_node_args={**head, "_system_config": SOON})
    started = [raylets.head_node]
    for node in others:
        before = dict(os.environ)
        os.environ.update(node.pop("env", {}))
        started.append(raylets.add_node(**node))
        os.environ.clear()
        os.environ.update(before)
    pids = [node.all_processes["raylet"][0].process.pid for node in started]
    print_to.write(json.dumps({"address": raylets.address, "pids": pids}) + "\n")
    print_to.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
