"""Runs one side of a benchmark in a process of its own, so that neither side warms up or slows down the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def run_side(module: str, *arguments: str, threads: int = 1) -> Any:
    """Run a benchmark module with arguments that name a side, and return what it prints as its last line of JSON.

    Args:
        module: name of the module, as `benchmarks.scale`.
        *arguments: the arguments of the module: the side and its sizes.
        threads: number of threads that each process may use for arithmetic.
    """
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(next(line for line in reversed(output.splitlines()) if line.startswith(("{", "["))))
