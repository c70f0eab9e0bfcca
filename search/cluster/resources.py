"""Decides what resources a trial gets, and how many trials run at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Literal

from core.errors import ConfigError
from core.models.memory import MemoryEstimate
from search.cluster.nodes import Node
from search.config import CampaignConfig

CUDA_CONTEXT_BYTES = 1 << 30
"""GPU memory that CUDA and its libraries take in each process, whatever it trains."""
_MEMORY_MARGIN = 1.3
"""Covers what the estimate leaves out: waste of the allocator, and workspaces of the libraries."""


@dataclass(frozen=True)
class TrialResources:
    """The resources of a trial, and the number of trials at a time.

    Attributes:
        device: kind of device that trials train on.
        cpus: CPUs of a trial, and its number of threads.
        gpus: GPUs of a trial, or its share of one.
        max_concurrent: number of trials that run at a time, at most.
        capacity: how many of them fit on the machines that are there now; the others wait for machines to join.
    """

    device: Literal["cpu", "cuda"]
    cpus: int
    gpus: float
    max_concurrent: int
    capacity: int = 1

    @property
    def requirements(self) -> dict[str, float]:
        """Return the resources that Ray reserves for a trial, by Ray's names."""
        return {"cpu": float(self.cpus), "gpu": self.gpus}


def choose_device(config: CampaignConfig, nodes: Sequence[Node]) -> Literal["cpu", "cuda"]:
    """Choose the device that a campaign's trials train on: GPUs, if any machine has one.

    Args:
        config: settings of the campaign; a device named there is taken.
        nodes: machines that are there now.

    Raises:
        ConfigError: the settings ask for cuda, and this machine, without a cluster, has none; or the cluster may still
            grow, and the settings do not say whether its new nodes will have GPUs.
    """
    if config.device != "auto":
        if config.device == "cuda" and not nodes[0].identifier and not nodes[0].gpus:
            raise ConfigError("This machine has no CUDA device", "Set device: cpu, or name the --address of a cluster")
        return config.device
    if nodes[0].identifier and config.concurrency is not None and not any(node.gpus for node in nodes):
        raise ConfigError(
            "The cluster has no GPU now, but nodes with GPUs may join it",
            "Set device: cuda or device: cpu in the campaign file",
        )
    return "cuda" if any(node.gpus for node in nodes) else "cpu"


def allocate(
    config: CampaignConfig, nodes: Sequence[Node], device: Literal["cpu", "cuda"], need: MemoryEstimate, data: int
) -> TrialResources:
    """Decide what resources a trial gets, and how many trials run at a time.

    Args:
        config: settings of the campaign; what they leave open is derived from the machines.
        nodes: machines that are there now; with a `concurrency`, a cluster may still grow.
        device: kind of device that trials train on.
        need: memory of a training step with the largest batch.
        data: size in bytes of the dataset, which each trial holds on its device.

    Raises:
        ConfigError: no machine has room for a trial and none will join; or machines will join that cannot reach the
            files of the campaign.
    """
    gpus = 0.0
    if device == "cuda":
        gpus = _gpu_share(config, nodes, need, data) if config.gpus_per_trial is None else config.gpus_per_trial
    resources = TrialResources(device, config.cpus_per_trial, gpus, 0)
    capacity = sum(_trials_on(node, resources) for node in nodes)
    may_grow = bool(nodes[0].identifier) and config.concurrency is not None
    if config.storage is None and may_grow and capacity < (config.concurrency or 0):
        raise ConfigError(
            "Nodes that join the cluster later will not see this machine's disk",
            "Name a storage in the campaign file: storage: s3://…",
        )
    if not capacity and not may_grow:
        raise ConfigError(*_no_room(resources, nodes))
    concurrency = config.concurrency or capacity
    max_concurrent = concurrency if may_grow else min(concurrency, capacity)
    return TrialResources(device, config.cpus_per_trial, gpus, max_concurrent, min(max_concurrent, capacity))


def _trials_on(node: Node, resources: TrialResources) -> int:
    """Return how many trials fit on a node."""
    by_cpus = int(node.cpus // resources.cpus)
    if not resources.gpus:
        return by_cpus
    if resources.gpus >= 1:
        return min(by_cpus, int(node.gpus // resources.gpus))
    # Ray does not put a trial together from parts of two GPUs. The small term makes up for rounding: three shares of
    # a third fit on a GPU.
    trials_per_gpu = floor(1 / resources.gpus + 1e-6)
    return min(by_cpus, trials_per_gpu * int(node.gpus))


def _gpu_share(config: CampaignConfig, nodes: Sequence[Node], need: MemoryEstimate, data: int) -> float:
    """Return the share of a GPU that a trial needs.

    It is a whole one if a second trial would not fit, or while no GPU is known.
    """
    gpu_nodes = [node for node in nodes if node.gpus and node.gpu_memory]
    if not gpu_nodes:
        return 1.0
    bytes_needed = CUDA_CONTEXT_BYTES + _MEMORY_MARGIN * (need.total + data)
    by_memory = min(floor(node.gpu_memory / bytes_needed) for node in gpu_nodes)
    by_cpus = min(floor(node.cpus / config.cpus_per_trial / node.gpus) for node in gpu_nodes)
    # Ray counts GPUs in ten-thousandths.
    return floor(10_000 / max(min(by_memory, by_cpus), 1)) / 10_000


def _no_room(resources: TrialResources, nodes: Sequence[Node]) -> tuple[str, str]:
    """Return what is wrong where a trial fits on no machine, and what to do about it."""
    if not nodes[0].identifier:
        if resources.cpus > nodes[0].cpus:
            return f"cpus_per_trial is {resources.cpus}, but this machine has {nodes[0].cpus:g}", "Lower it"
        return f"gpus_per_trial is {resources.gpus:g}, but this machine has {nodes[0].gpus:g}", "Lower it"
    trial = f"{resources.cpus} CPU(s)" + (f" and {resources.gpus:g} GPU(s)" if resources.gpus else "")
    return (
        f"No node of the cluster has room for a trial of {trial}",
        "Add nodes or ask for less; if the cluster starts nodes on demand, set concurrency",
    )
