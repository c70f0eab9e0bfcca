"""Identifies the software of a machine: the versions of its packages, and a hash of this program's source."""

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
"""Packages on which the results, or the messages between machines, depend."""
SOURCES = tuple(Path(str(package.__file__)).parent for package in (core, search))
"""Folders of this program's own packages, whole."""
_MISSING = "missing"


@dataclass(frozen=True)
class Software:
    """The software that is installed on a machine.

    Attributes:
        versions: versions of Python and of `PACKAGES`, by name; without the part that names a build (`+cpu`).
        source: hash of this program's own source.
    """

    versions: dict[str, str]
    source: str

    def differences(self, other: Software) -> list[str]:
        """Return what another machine has that differs from this software, which is the driver's.

        Sources are compared only where all versions are the same.

        Args:
            other: software of the other machine.

        Returns:
            A phrase for each difference, such as "torch 2.0.0 (the driver has 2.1.0)".
        """
        phrases = [
            f"{name} {other.versions.get(name, _MISSING)} (the driver has {expected})"
            for name, expected in self.versions.items()
            if other.versions.get(name) != expected
        ]
        if not phrases and other.source != self.source:
            phrases = [f"another source of preset-search ({other.source[:12]}, the driver has {self.source[:12]})"]
        return phrases


@lru_cache(maxsize=1)
def installed_software() -> Software:
    """Return the software that is installed on this machine."""
    versions = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            versions[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            versions[name] = _MISSING
    return Software(versions, source_digest(*SOURCES))
