"""What a machine that takes part in a campaign has and runs. A laptop is a cluster of one."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import core
from core.errors import ConfigError

PACKAGES = ("preset-search", "torch", "ray", "optuna", "numpy", "pandas", "pyarrow", "scikit-learn", "TA-Lib")
"""Those that what is computed, or how it is sent, depends on."""
_MEMORY_FILE = Path("/proc/meminfo")


@dataclass(frozen=True)
class Software:
    """What is installed on a machine.

    Attributes:
        versions: of Python and the packages that matter; without what tells builds of one version apart (`+cpu`).
        source: hash of this program's own source.
    """

    versions: dict[str, str]
    source: str

    def differences(self, other: Software) -> list[str]:
        """What another machine has that is not as here."""
        found = [
            f"{name} {other.versions.get(name, 'missing')}, here {mine}"
            for name, mine in self.versions.items()
            if other.versions.get(name) != mine
        ]
        if not found and other.source != self.source:
            found = [f"preset-search of another source ({other.source[:12]}, here {self.source[:12]})"]
        return found


@lru_cache(maxsize=1)
def software() -> Software:
    """What is installed on this machine."""
    versions = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            versions[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            versions[name] = "missing"
    digest = hashlib.sha256()
    for package in (Path(core.__file__).parent, Path(__file__).parent):
        for path in sorted([*package.rglob("*.py"), *package.rglob("*.yaml")]):
            digest.update(f"{package.name}/{path.relative_to(package)}\n".encode() + path.read_bytes())
    return Software(versions, digest.hexdigest())


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
    seen = torch.cuda.device_count()
    return Node(
        name=" ".join([socket.gethostname(), *([identifier[:8]] if identifier else [])]),
        identifier=identifier,
        cpus=float(os.cpu_count() or 1) if cpus is None else cpus,
        gpus=float(seen) if gpus is None else gpus,
        gpus_seen=seen,
        gpu_memory=min((torch.cuda.get_device_properties(k).total_memory for k in range(seen)), default=0),
        memory=_free_memory(),
        disk=shutil.disk_usage(tempfile.gettempdir()).free,
        objects=objects,
        clock=time.time(),
    )


def _free_memory() -> int:
    for line in _MEMORY_FILE.read_text().splitlines() if _MEMORY_FILE.exists() else []:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")  # not Linux: what there is in all


class UnfitNodeError(ConfigError):
    """A machine cannot take part in the campaign as it is."""


def check_software(expected: Software) -> None:
    """Make sure that this machine runs what the campaign was started with.

    Raises:
        UnfitNodeError: it does not; the message names it.
    """
    if found := expected.differences(software()):
        raise UnfitNodeError(
            f"Node {socket.gethostname()} has {'; '.join(found)}",
            "Install the same wheel and constraints on every node, then resume the campaign",
        )
