"""Describes the machines that take part in a campaign, and finds what is wrong with them.

A laptop is a cluster of one.
"""

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
from search.cluster.software import Software, installed_software

MIN_FREE_DISK = 1 << 30
"""Bytes that have to be free where temporary files go."""
MIN_FREE_MEMORY = 1 << 30
"""Bytes of memory that have to be free."""
MAX_CLOCK_SKEW_SECONDS = 30.0
"""How far clocks may differ: object stores refuse requests whose time is off, and logs could not be compared."""
_MEMORY_FILE = Path("/proc/meminfo")


@dataclass(frozen=True)
class Node:
    """A machine, with its resources and its software.

    Attributes:
        name: name by which a person finds the machine.
        identifier: Ray's identifier of the node; empty without Ray.
        cpus: CPUs that trials can be given.
        gpus: GPUs that trials can be given.
        visible_gpus: GPUs that torch sees; in a cluster it is shown one at most.
        gpu_memory: bytes of the smallest GPU; 0 without any.
        free_memory: bytes of memory that are free.
        free_disk: bytes that are free where temporary files go.
        object_store_memory: bytes that Ray's object store holds; 0 without Ray.
        clock: the machine's clock when it described itself, in seconds since 1970.
        clock_skew: seconds by which the machine's clock is ahead of the driver's.
        software: software installed on the machine.
    """

    name: str
    identifier: str
    cpus: float
    gpus: float
    visible_gpus: int
    gpu_memory: int
    free_memory: int
    free_disk: int
    object_store_memory: int = 0
    clock: float = 0.0
    clock_skew: float = 0.0
    software: Software = field(default_factory=installed_software)


def describe_this_machine(
    identifier: str = "", cpus: float | None = None, gpus: float | None = None, object_store_memory: int = 0
) -> Node:
    """Describe the machine that this process runs on.

    Args:
        identifier: Ray's identifier of the node; empty without Ray.
        cpus: CPUs that Ray was told to offer; None for all that there are.
        gpus: GPUs that Ray was told to offer; None for all that torch sees.
        object_store_memory: bytes that Ray's object store holds; 0 without Ray.
    """
    visible_gpus, gpu_memory = inspect_gpus()
    return Node(
        name=" ".join([socket.gethostname(), *([identifier[:8]] if identifier else [])]),
        identifier=identifier,
        cpus=float(os.cpu_count() or 1) if cpus is None else cpus,
        gpus=float(visible_gpus) if gpus is None else gpus,
        visible_gpus=visible_gpus,
        gpu_memory=gpu_memory,
        free_memory=_free_memory(),
        free_disk=shutil.disk_usage(tempfile.gettempdir()).free,
        object_store_memory=object_store_memory,
        clock=time.time(),
    )


def inspect_gpus() -> tuple[int, int]:
    """Return the number of GPUs that torch sees on this machine, and the bytes of the smallest one; 0 without any."""
    count = torch.cuda.device_count()
    return count, min((torch.cuda.get_device_properties(k).total_memory for k in range(count)), default=0)


def _free_memory() -> int:
    for line in _MEMORY_FILE.read_text().splitlines() if _MEMORY_FILE.exists() else []:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    # Other systems than Linux do not say what is free: there it is taken to be all.
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True)
class Finding:
    """A reason why a node cannot take part.

    Attributes:
        node: name of the node.
        what: what is wrong, to be read after "Node NAME".
        remedy: what to do about it, as a sentence without its full stop.
    """

    node: str
    what: str
    remedy: str


def find_node_problems(node: Node, cuda: bool, data: int, expected: Software) -> list[Finding]:
    """Find what is wrong with a node, as far as its description tells.

    Args:
        node: description of the node.
        cuda: whether trials train on GPUs.
        data: size of the dataset in bytes.
        expected: software that the driver runs.
    """
    problems = [
        (f"has {difference}", "Install the same wheel and constraints on every node")
        for difference in expected.differences(node.software)
    ]
    # Only whether torch sees any GPU can be compared: Ray shows a task one, however many the node has.
    if cuda and node.gpus and not node.visible_gpus:
        remedy = "Check its driver, and that its image has CUDA and a torch built for it"
        problems.append((f"offers {node.gpus:g} GPU(s), but torch sees none", remedy))
    if node.free_disk < MIN_FREE_DISK:
        problems.append((f"has only {node.free_disk / 1e9:.1f} GB of disk free", "Clear its temporary folder"))
    if node.free_memory < MIN_FREE_MEMORY:
        remedy = "End other programs there, or take a larger machine"
        problems.append((f"has only {node.free_memory / 1e9:.1f} GB of memory free", remedy))
    if node.object_store_memory and node.object_store_memory < data:
        size, needed = node.object_store_memory / 1e9, data / 1e9
        what = f"has an object store of {size:.2f} GB, too small for the data ({needed:.2f} GB)"
        problems.append((what, "Start its Ray with a larger --object-store-memory"))
    if abs(node.clock_skew) > MAX_CLOCK_SKEW_SECONDS:
        problems.append((f"has a clock that is {node.clock_skew:+.0f} s off", "Synchronise it with chrony or ntp"))
    return [Finding(node.name, what, remedy) for what, remedy in problems]


class UnfitNodeError(ConfigError):
    """A machine does not meet the requirements of the campaign."""


def check_machine(expected: Software, is_new: bool = False) -> None:
    """Check that this machine can take part in a campaign.

    Its memory is not checked, because other trials may already use it. Its disk is checked only if the machine is new:
    those of the other machines were checked before the first trial.

    Args:
        expected: software that the driver runs.
        is_new: whether the machine joined after the others had been checked.

    Raises:
        UnfitNodeError: the machine cannot take part; the message names it.
    """
    node = replace(_this_machine_at_start(), free_memory=MIN_FREE_MEMORY)
    if not is_new:
        node = replace(node, free_disk=MIN_FREE_DISK)
    for problem in find_node_problems(node, cuda=False, data=0, expected=expected):
        raise UnfitNodeError(f"Node {problem.node} {problem.what}", problem.remedy)


@lru_cache(maxsize=1)
def _this_machine_at_start() -> Node:
    """Describe this machine as it was when this process first asked."""
    return describe_this_machine()
