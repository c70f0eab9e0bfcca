"""What a machine that takes part in a campaign has and runs. A laptop is a cluster of one."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import torch

from core.errors import ConfigError
from search.cluster.software import Software, software

_MEMORY_FILE = Path("/proc/meminfo")
DISK, MEMORY = 1 << 30, 1 << 30
"""Bytes that have to be free on a node."""
CLOCK_SECONDS = 30.0
"""By how much clocks may differ: object stores refuse requests of another time, and logs could not be compared."""


@dataclass(frozen=True)
class Node:
    """A machine: what there is, and what is free.

    Attributes:
        name: by which a person finds it.
        identifier: Ray's; empty without Ray.
        cpus, gpus: that trials can be given.
        gpus_seen: that torch sees; in a cluster it is shown one at most.
        gpu_memory: bytes of its smallest GPU; 0 without any.
        memory: bytes free.
        disk: bytes free where temporary files go.
        objects: bytes that its object store holds; 0 without Ray.
        clock: seconds since 1970, by its clock.
        ahead: seconds by which its clock is ahead of the driver's.
        software: what is installed.
    """

    name: str
    identifier: str
    cpus: float
    gpus: float
    gpus_seen: int
    gpu_memory: int
    memory: int
    disk: int
    objects: int = 0
    clock: float = 0.0
    ahead: float = 0.0
    software: Software = field(default_factory=software)


def this_machine(identifier: str = "", cpus: float | None = None, gpus: float | None = None, objects: int = 0) -> Node:
    """The machine that this runs on; with what Ray was told that it has, where Ray was told."""
    seen, gpu_memory = gpus_here()
    return Node(
        name=" ".join([socket.gethostname(), *([identifier[:8]] if identifier else [])]),
        identifier=identifier,
        cpus=float(os.cpu_count() or 1) if cpus is None else cpus,
        gpus=float(seen) if gpus is None else gpus,
        gpus_seen=seen,
        gpu_memory=gpu_memory,
        memory=_free_memory(),
        disk=shutil.disk_usage(tempfile.gettempdir()).free,
        objects=objects,
        clock=time.time(),
    )


def gpus_here() -> tuple[int, int]:
    """GPUs that torch sees here, and the bytes of the smallest one; 0 without any."""
    seen = torch.cuda.device_count()
    return seen, min((torch.cuda.get_device_properties(k).total_memory for k in range(seen)), default=0)


def _free_memory() -> int:
    for line in _MEMORY_FILE.read_text().splitlines() if _MEMORY_FILE.exists() else []:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # not Linux: what there is in all


@dataclass(frozen=True)
class Finding:
    """What is wrong with a node, and what cures it."""

    node: str
    what: str
    cure: str


def examine(node: Node, cuda: bool, data: int, expected: Software) -> list[Finding]:
    """What can be seen of a node by what it says of itself.

    Args:
        node: which.
        cuda: whether trials train on GPUs.
        data: bytes of the data.
        expected: what the driver runs.
    """
    found = [
        Finding(node.name, f"has {said}", "Install the same wheel and constraints on every node")
        for said in expected.differences(node.software)
    ]
    if cuda and node.gpus and not node.gpus_seen:  # who looked was shown one, however many there are
        cure = "Check its driver, and that its image has CUDA and a torch made for it"
        found.append(Finding(node.name, f"offers {node.gpus:g} GPU(s), and torch sees none", cure))
    if node.disk < DISK:
        found.append(Finding(node.name, f"has {node.disk / 1e9:.1f} GB of disk free", "Clear its temporary folder"))
    if node.memory < MEMORY:
        cure = "End what else runs there, or take a larger machine"
        found.append(Finding(node.name, f"has {node.memory / 1e9:.1f} GB of memory free", cure))
    if node.objects and node.objects < data:
        said = f"its object store of {node.objects / 1e9:.2f} GB does not hold the data ({data / 1e9:.2f} GB)"
        found.append(Finding(node.name, said, "Start its Ray with a larger --object-store-memory"))
    if abs(node.ahead) > CLOCK_SECONDS:
        found.append(Finding(node.name, f"its clock is {node.ahead:+.0f} s off", "Let it keep time: chrony or ntp"))
    return found


class UnfitNodeError(ConfigError):
    """A machine cannot take part in the campaign as it is."""


def check_machine(expected: Software, is_new: bool = False) -> None:
    """Make sure that this machine can take part.

    Args:
        expected: what the driver runs.
        is_new: whether it came when the others had been looked at. Its memory says little then: others may train there.

    Raises:
        UnfitNodeError: it cannot; the message names it.
    """
    node = replace(_as_found(), memory=MEMORY)
    for finding in examine(node if is_new else replace(node, disk=DISK), cuda=False, data=0, expected=expected):
        raise UnfitNodeError(f"Node {finding.node} {finding.what}", f"{finding.cure}, then resume the campaign")


@lru_cache(maxsize=1)
def _as_found() -> Node:
    """This machine, as it was when this process first looked."""
    return this_machine()
