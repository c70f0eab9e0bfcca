"""Ends, by pid, every process that a test has started."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

HANG_SECONDS = 1200.0
"""How long a test waits for what must happen. It tells a hang from slowness, so it is far beyond any slowness."""
OWNER = "TEST_RAY_OWNER"


def environment(folder: Path) -> dict[str, str]:
    """The environment by which the processes of a test are known: Ray's inherit it.

    Ray's workers run at niceness 15 by default: beside other work on the machine, tests would wait for them.
    """
    return {**os.environ, OWNER: str(folder), "RAY_worker_niceness": "0"}


def processes_of(folder: Path) -> list[psutil.Process]:
    """All processes that a test has started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(OWNER) == str(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def trial_processes_of(folder: Path) -> list[psutil.Process]:
    """Those in which a trial or the incumbent runs or has run; Ray names a worker after what it holds."""
    found = []
    for process in processes_of(folder):
        try:
            name = " ".join(process.cmdline())
        except (psutil.Error, OSError):
            continue
        if name.startswith(("ray::ResourceTrainable", "ray::_train")):
            found.append(process)
    return found


def left_after(folder: Path, seconds: float = HANG_SECONDS) -> list[psutil.Process]:
    """What is still there of a test's processes when they have had some time to end: a worker ends with its epoch."""
    deadline = time.monotonic() + seconds
    while (left := processes_of(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def kill(processes: list[psutil.Process]) -> None:
    """SIGKILL all of them, and wait until they are gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(processes, timeout=HANG_SECONDS)


@contextmanager
def owned(folder: Path) -> Iterator[Path]:
    """A folder whose processes are ended with the block."""
    try:
        yield folder
    finally:
        kill(processes_of(folder))
