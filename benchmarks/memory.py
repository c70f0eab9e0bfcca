"""The peak of a process's memory."""

from __future__ import annotations

from pathlib import Path


def peak() -> float:
    """MiB that this process has held at most.

    Not `ru_maxrss`: that counts the memory of the process which started this one, too.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
