"""A gate that trial processes pass together, the first time: without it, most of them never come to be.

Ray Tune gives the process of a trial that ends to one that waits for a process of its own, and takes back the one that
is being started for it. Where trials are shorter than it takes to start all processes, the few that came first do it
all.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

QUIET_SECONDS = 15.0
"""The gate opens, too, when nobody has come for so long: a node may be lost, or busy with something else."""
MIN_PROCESSES = 3
"""Of fewer processes than these nobody is starved."""


class StartBarrier:
    """Lets nobody through before so many have come."""

    def __init__(self, expected: int) -> None:
        """Wait for `expected` of them."""
        self._missing = expected
        self._last = time.monotonic()

    async def passes(self) -> None:
        """Come, and return when the gate is open."""
        self._missing -= 1
        self._last = time.monotonic()
        while self._missing > 0 and time.monotonic() - self._last < QUIET_SECONDS:
            await asyncio.sleep(0.05)
        self._missing = 0


_Barrier: Any = ray.remote(num_cpus=0)(StartBarrier)


def with_start_barrier(trainable: Any, expected: int) -> Any:
    """The same trainable, whose processes begin together.

    Args:
        trainable: a class that `tune.Tuner` takes.
        expected: how many processes there will be.
    """
    if expected < MIN_PROCESSES:
        return trainable
    # Where the driver is: with any other node it could be lost.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    gate = _Barrier.options(scheduling_strategy=here).remote(expected)

    class Gated(trainable):  # type: ignore[misc]
        """Waits for the others before its first trial."""

        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config)
            with suppress(RayError):  # a gate that is gone is open
                ray.get(gate.passes.remote())

    Gated.__name__ = trainable.__name__
    return Gated
