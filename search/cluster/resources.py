"""How many trials fit on which machines, and what each of them gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor
from typing import Literal

from core.errors import ConfigError
from core.models.memory import MemoryEstimate
from search.cluster.nodes import Node
from search.config import CampaignConfig

CONTEXT = 1 << 30
"""Bytes that CUDA and its libraries take for each process, whatever it trains."""
_MARGIN = 1.3
"""The estimate leaves out what the allocator wastes and the libraries' workspaces."""


@dataclass(frozen=True)
class TrialResources:
    """What a trial gets, and how many run at a time.

    Attributes:
        device: where trials train.
        cpus: cores, and threads, of a trial.
        gpus: GPUs of a trial, or the share of one.
        max_concurrent: most trials at a time.
        room: how many of them the machines hold that are there.
    """

    device: Literal["cpu", "cuda"]
    cpus: int
    gpus: float
    max_concurrent: int
    capacity: int = 1

    @property
    def requirements(self) -> dict[str, float]:
        """What Ray sets aside for a trial."""
        return {"cpu": float(self.cpus), "gpu": self.gpus}


def device_of(config: CampaignConfig, nodes: Sequence[Node]) -> Literal["cpu", "cuda"]:
    """Where a campaign's trials train: on GPUs, if any machine has one.

    Raises:
        ConfigError: cuda is asked for, and this machine, which is all there is, has none; or it cannot be known what a
            cluster that has yet to grow will have.
    """
    if config.device != "auto":
        if config.device == "cuda" and not nodes[0].identifier and not nodes[0].gpus:
            raise ConfigError("There is no CUDA device here", "Say device: cpu, or name the --address of a cluster")
        return config.device
    if nodes[0].identifier and config.concurrency is not None and not any(node.gpus for node in nodes):
        raise ConfigError(
            "The cluster has no GPU, and may get nodes that have",
            "Say device: cuda or device: cpu in its file",
        )
    return "cuda" if any(node.gpus for node in nodes) else "cpu"


def allocate(
    config: CampaignConfig, nodes: Sequence[Node], device: Literal["cpu", "cuda"], need: MemoryEstimate, data: int
) -> TrialResources:
    """What a trial gets, and how many fit.

    Args:
        config: what it does not say is found out.
        nodes: the machines that are there; of a cluster that grows, more may come.
        device: where trials train.
        need: memory of a training step of the largest batch.
        data: bytes of the data, which each trial holds on its device.

    Raises:
        ConfigError: no machine has room for a trial, and no `concurrency` says that others will come.
    """
    gpus = 0.0
    if device == "cuda":
        gpus = _share(config, nodes, need, data) if config.gpus_per_trial is None else config.gpus_per_trial
    resources = TrialResources(device, config.cpus_per_trial, gpus, 0)
    room = sum(_fitting(resources, node) for node in nodes)
    grows = bool(nodes[0].identifier) and config.concurrency is not None
    if config.storage is None and grows and room < (config.concurrency or 0):
        raise ConfigError(
            "Nodes will come that do not see this machine's disk",
            "Name a storage in the campaign file: storage: s3://…",
        )
    if not room and not grows:
        raise ConfigError(*_no_room(resources, nodes))
    asked = config.concurrency or room
    max_concurrent = asked if grows else min(asked, room)
    return TrialResources(device, config.cpus_per_trial, gpus, max_concurrent, min(max_concurrent, room))


def _fitting(resources: TrialResources, node: Node) -> int:
    by_cpu = int(node.cpus // resources.cpus)
    if not resources.gpus:
        return by_cpu
    shared = floor(1 / resources.gpus + 1e-6) * int(node.gpus)  # no trial lies on two halves of GPUs
    return min(by_cpu, shared if resources.gpus < 1 else int(node.gpus // resources.gpus))


def _share(config: CampaignConfig, nodes: Sequence[Node], need: MemoryEstimate, data: int) -> float:
    """The share of a GPU that a trial needs: a whole one if a second trial would not fit, or nobody knows the GPU."""
    having = [node for node in nodes if node.gpus and node.gpu_memory]
    if not having:
        return 1.0
    bytes_needed = CONTEXT + _MARGIN * (need.total + data)
    by_memory = min(floor(node.gpu_memory / bytes_needed) for node in having)
    by_cpu = min(floor(node.cpus / config.cpus_per_trial / node.gpus) for node in having)
    # Ray counts GPUs in ten-thousandths.
    return floor(10_000 / max(min(by_memory, by_cpu), 1)) / 10_000


def _no_room(resources: TrialResources, nodes: Sequence[Node]) -> tuple[str, str]:
    if not nodes[0].identifier:
        if resources.cpus > nodes[0].cpus:
            return f"cpus_per_trial is {resources.cpus}, this machine has {nodes[0].cpus:g}", "Ask for fewer"
        return f"gpus_per_trial is {resources.gpus:g}, this machine has {nodes[0].gpus:g}", "Ask for fewer"
    wanted = f"{resources.cpus} CPU(s)" + (f" and {resources.gpus:g} GPU(s)" if resources.gpus else "")
    return (
        f"No node of the cluster has room for a trial of {wanted}",
        "Add nodes, ask for less; or set concurrency, if the cluster brings up nodes when they are asked for",
    )
