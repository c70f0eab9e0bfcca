"""What a machine runs: the versions of the packages that matter, and a hash of this program."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import core
import search
from core.files import source_digest

PACKAGES = ("preset-search", "torch", "ray", "optuna", "numpy", "pandas", "pyarrow", "scikit-learn", "TA-Lib")
"""Those that what is computed, or how it is sent, depends on."""
SOURCES = tuple(Path(str(package.__file__)).parent for package in (core, search))
"""Folders of this program's own packages, whole."""


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
    return Software(versions, source_digest(*SOURCES))
