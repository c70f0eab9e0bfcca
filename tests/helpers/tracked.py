"""The files of this repository that git tracks."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tracked_files(pattern: str) -> list[Path]:
    """Return the tracked files of a pattern, sorted: what a demo left beside them, for example, is not tested."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", pattern], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return [ROOT / name for name in sorted(listed.split("\0")) if name]
