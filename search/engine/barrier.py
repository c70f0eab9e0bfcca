"""Lets the first trials of all processes begin together: without it, most of the processes would never be started.

Ray Tune gives the process of a trial that ends to a trial that still waits for a process, and cancels the process that
is being started for that one. Where trials take less time than starting all processes, the first few processes would
run them all.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

MAX_ARRIVAL_GAP_SECONDS = 15.0
"""The barrier opens, too, when no process has arrived for this long: a node may be lost or busy with other work."""
MIN_PROCESSES = 3
"""With fewer processes than this, there is no barrier: none of them would be left without a trial."""


class StartBarrier:
    """Holds processes back until all of them have arrived."""

    def __init__(self, expected: int) -> None:
        """Close the barrier.

        Args:
            expected: number of processes to wait for.
        """
        self._missing = expected
        self._last_arrival = time.monotonic()

    async def wait(self) -> None:
        """Register the arrival of a process, and return when the barrier is open."""
        self._missing -= 1
        self._last_arrival = time.monotonic()
        while self._missing > 0 and time.monotonic() - self._last_arrival < MAX_ARRIVAL_GAP_SECONDS:
            await asyncio.sleep(0.05)
        self._missing = 0


_Barrier: Any = ray.remote(num_cpus=0)(StartBarrier)


def with_start_barrier(trainable: Any, expected: int) -> Any:
    """Return the same trainable, whose processes wait for each other before their first trials.

    Args:
        trainable: a trainable class for `tune.Tuner`.
        expected: number of processes that will be started at once.
    """
    if expected < MIN_PROCESSES:
        return trainable
    # The barrier runs on the driver's node: any other node could be lost, and the barrier with it.
    driver_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    barrier = _Barrier.options(scheduling_strategy=driver_node).remote(expected)

    class WaitingTrainable(trainable):  # type: ignore[misc]
        """Waits for the other processes before its first trial."""

        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config)
            with suppress(RayError):  # without the barrier there is nothing to wait for
                ray.get(barrier.wait.remote())

    WaitingTrainable.__name__ = trainable.__name__
    return WaitingTrainable
