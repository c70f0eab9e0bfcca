"""cluster.yaml keeps what its comments promise. No cloud is asked: Ray's code reads the file, its commands run here."""

from __future__ import annotations

import copy
import os
import re
import shlex
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

# Ray checks and reads cluster files nowhere else: none of this is public.
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent

from tests.helpers.processes import HANG_SECONDS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8")
GPU_TYPES = ["gpu_spot", "gpu_on_demand"]
STARTS = ["head_start_ray_commands", "worker_start_ray_commands"]
COMMANDS = ["initialization_commands", "setup_commands", "head_setup_commands", *STARTS]


@pytest.fixture
def cluster() -> dict[str, Any]:
    config = yaml.safe_load(TEXT)
    assert isinstance(config, dict)
    return config


def ray_start(cluster: dict[str, Any], commands: str) -> str:
    """The one command that starts Ray; `ray stop` comes before it."""
    assert cluster[commands][0] == "ray stop"
    (command,) = [c for c in cluster[commands] if "ray start" in c]
    return str(command)


def run(command: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the file as Ray would: in bash, with another home."""
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]} | environment
    return subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )


def test_ray_accepts_the_file(cluster: dict[str, Any]) -> None:
    validate_config(prepare_config(cluster))


def test_neither_token_nor_key_is_in_the_file() -> None:
    assert re.findall(r"[0-9a-fA-F]{32,}|AKIA[0-9A-Z]{16}|[A-Za-z0-9/+]{40,}|-----BEGIN", TEXT) == []
    assert re.findall(r"RAY_AUTH_TOKEN|(?i:aws_?(?:secret_?)?access_?key)|aws_credentials", TEXT) == []


def test_the_dashboard_listens_on_the_loopback_alone(cluster: dict[str, Any]) -> None:
    words = shlex.split(ray_start(cluster, "head_start_ray_commands"))
    assert [word for word in words if word.startswith("--dashboard-host")] == ["--dashboard-host=127.0.0.1"]


@pytest.mark.parametrize("commands", STARTS)
def test_every_node_checks_tokens(cluster: dict[str, Any], commands: str) -> None:
    before, _, _ = ray_start(cluster, commands).partition("ray start")
    assert "export RAY_AUTH_MODE=token;" in before
    assert "--env RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert "ulimit -n 65536;" in before


@pytest.mark.parametrize("commands", STARTS)
def test_workers_do_not_give_way_to_other_programs(cluster: dict[str, Any], commands: str) -> None:
    before, _, _ = ray_start(cluster, commands).partition("ray start")
    assert "export RAY_worker_niceness=0;" in before


def test_the_token_lies_on_a_node_for_its_owner_alone(cluster: dict[str, Any], tmp_path: Path) -> None:
    (mounted,) = [there for there, here in cluster["file_mounts"].items() if here == "~/.ray/auth_token"]
    shipped = tmp_path / mounted.removeprefix("~/")
    shipped.write_text("abc", encoding="utf-8")
    shipped.chmod(0o644)
    done = run(cluster["setup_commands"][0], tmp_path)
    assert done.returncode == 0, done.stderr
    token = tmp_path / ".ray" / "auth_token"  # where Ray looks without being told
    assert token.read_text(encoding="utf-8") == "abc"
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_text(encoding="utf-8") == "abc"]
    assert {path: path.stat().st_mode & 0o777 for path in holding} == {token: 0o600, shipped: 0o600}


def test_trials_do_not_run_on_the_head(cluster: dict[str, Any]) -> None:
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert (head["min_workers"], head["max_workers"]) == (0, 0)
    assert not re.match(r"[gp]\d", head["node_config"]["InstanceType"])
    words = shlex.split(ray_start(cluster, "head_start_ray_commands"))
    assert {"--num-cpus=0", "--num-gpus=0"} <= set(words)


def test_nothing_but_the_head_is_paid_for_without_work(cluster: dict[str, Any]) -> None:
    assert 0 < cluster["idle_timeout_minutes"] <= 30
    assert 0 < cluster["max_workers"] <= 8
    assert cluster["upscaling_speed"] > 0
    assert cluster["provider"]["cache_stopped_nodes"] is False
    for name, node in cluster["available_node_types"].items():
        assert node["min_workers"] == 0, name
        (disk,) = node["node_config"]["BlockDeviceMappings"]
        assert disk["Ebs"]["VolumeSize"] >= 100, name
        assert disk["Ebs"]["DeleteOnTermination"] is True, name


def test_spot_and_its_fall_back_are_the_same_machine(cluster: dict[str, Any]) -> None:
    spot, other = (copy.deepcopy(cluster["available_node_types"][name]) for name in GPU_TYPES)
    assert spot["node_config"].pop("InstanceMarketOptions") == {"MarketType": "spot"}
    assert spot.pop("priority") > other.pop("priority")
    assert spot == other  # or Ray would look at the fit, and never at the priority
    assert re.match(r"[gp]\d", spot["node_config"]["InstanceType"])
    assert spot["max_workers"] == cluster["max_workers"]


def choice(cluster: dict[str, Any], monitor: CloudResourceMonitor) -> dict[str, int]:
    """What Ray's autoscaler asks for when three trials wait and no GPU node runs."""
    prepared = prepare_config(copy.deepcopy(cluster))
    for name in GPU_TYPES:
        prepared["available_node_types"][name]["resources"] = {"CPU": 4, "GPU": 1}  # Ray asks EC2 for them
    config = AutoscalingConfig(prepared, skip_content_hash=True)
    waiting = ResourceRequestUtil.group_by_count([ResourceRequestUtil.make({"CPU": 1, "GPU": 1})] * 3)
    request = SchedulingRequest(
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=config.get_max_num_nodes(),
        disable_launch_config_check=True,
        resource_requests=waiting,
        cloud_resource_availabilities=monitor.get_resource_availabilities(),
        recoverable_resource_availabilities=monitor.get_recoverable_resource_availabilities(),
    )
    return {launch.instance_type: launch.count for launch in ResourceDemandScheduler().schedule(request).to_launch}


@pytest.mark.parametrize(
    ("status", "chosen"),
    [
        (None, "gpu_spot"),
        (
            "ALLOCATION_FAILED",
            "gpu_spot",
        ),  # EC2 has none: the file tells people to pull the fall-back themselves. Should this
        (
            "ALLOCATION_TIMEOUT",
            "gpu_on_demand",
        ),  # fail one day, Ray has learned to do it, and the comment in the file has to go.
    ],
)
def test_ray_chooses_as_the_file_says(cluster: dict[str, Any], status: str | None, chosen: str) -> None:
    monitor = CloudResourceMonitor()
    if status is not None:
        new = Instance.InstanceStatus.Value(status)
        monitor.notify([InstanceUpdateEvent(instance_id="1", new_instance_status=new, instance_type="gpu_spot")])
    assert choice(cluster, monitor) == {chosen: 3}


def test_swapping_priorities_pulls_the_fall_back(cluster: dict[str, Any]) -> None:
    types = cluster["available_node_types"]
    types["gpu_spot"]["priority"], types["gpu_on_demand"]["priority"] = (
        types[name]["priority"] for name in reversed(GPU_TYPES)
    )
    assert choice(cluster, CloudResourceMonitor()) == {"gpu_on_demand": 3}


def test_what_spot_may_not_fill_is_on_demand(cluster: dict[str, Any]) -> None:
    cluster["available_node_types"]["gpu_spot"]["max_workers"] = 2
    assert choice(cluster, CloudResourceMonitor()) == {"gpu_spot": 2, "gpu_on_demand": 1}


def test_images_are_pinned_to_the_ray_that_was_tested(cluster: dict[str, Any]) -> None:
    (ray,) = re.findall(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), flags=re.M)
    config = AutoscalingConfig(prepare_config(cluster), skip_content_hash=True)
    assert config.get_docker_config("head")["image"] == f"rayproject/ray:{ray}-py311-cpu"
    for name in GPU_TYPES:
        assert re.fullmatch(rf"rayproject/ray:{re.escape(ray)}-py311-cu\d+", config.get_docker_config(name)["image"])


def test_what_is_mounted_exists(cluster: dict[str, Any]) -> None:
    here = [path for path in cluster["file_mounts"].values() if path != "~/.ray/auth_token"]
    assert here == ["."]  # relative to the root of the checkout, where constraints.txt is
    assert (ROOT / "constraints.txt").exists()


def excluded(patterns: list[str], path: str) -> bool:
    """As rsync: a leading slash means the root; without one the pattern may match a name at any depth."""
    parts = path.split("/")
    anchored = {p.removeprefix("/") for p in patterns if p.startswith("/")}
    return parts[0] in anchored or any(fnmatch(part, p) for part in parts for p in patterns if not p.startswith("/"))


def test_nodes_get_what_they_need_and_nothing_else(cluster: dict[str, Any]) -> None:
    patterns = cluster["rsync_exclude"]
    needed = [
        "constraints.txt",
        "dist/preset_search-0.1.0-py3-none-any.whl",
        "presets/mine.yaml",
        "core/data/bars.py",
    ]
    assert [path for path in needed if excluded(patterns, path)] == []
    unwanted = [
        ".git/config",
        ".venv/bin/python",
        "results/demo/journal.log",
        "data/x.parquet",
        "checkpoints/x/checkpoint.pt",
        ".env",
    ]
    assert [path for path in unwanted if not excluded(patterns, path)] == []


@pytest.mark.parametrize("commands", COMMANDS)
def test_commands_are_bash(cluster: dict[str, Any], commands: str) -> None:
    for command in cluster[commands]:
        assert (
            subprocess.run(
                ["bash", "-n", "-c", command], capture_output=True, timeout=HANG_SECONDS, check=False
            ).returncode
            == 0
        ), command


def installing(cluster: dict[str, Any], home: Path) -> list[str]:
    """Run all setup commands on a made-up node, with a pip that only tells what it was asked for."""
    (home / ".preset-search-token").write_text("abc", encoding="utf-8")
    (home / "bin").mkdir()
    pip = home / "bin" / "pip"
    pip.write_text('#!/bin/sh\necho "$PWD" "$@" >> "$HOME/asked"\n', encoding="utf-8")
    pip.chmod(0o755)
    for command in cluster["setup_commands"] + cluster["head_setup_commands"]:
        done = run(command, home, PATH=f"{pip.parent}:{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr
    return (home / "asked").read_text(encoding="utf-8").replace(f"{home}/preset-search ", "").splitlines()


def test_nodes_install_the_wheel_under_the_constraints(cluster: dict[str, Any], tmp_path: Path) -> None:
    wheel = tmp_path / "preset-search" / "dist" / "preset_search-0.1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    assert installing(cluster, tmp_path) == [
        f"install --constraint constraints.txt ./dist/{wheel.name}[cluster]",
        f"install --no-deps --force-reinstall dist/{wheel.name}",
        "install --constraint constraints.txt boto3",
    ]


def test_a_node_without_a_wheel_is_not_set_up(cluster: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "preset-search" / "dist").mkdir(parents=True)
    with pytest.raises(AssertionError, match="No such file"):
        installing(cluster, tmp_path)
