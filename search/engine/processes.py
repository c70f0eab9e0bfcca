"""Knows the process of each trial: when Ray kills processes because memory runs out, the right trial is charged.

Ray's error names the killed processes and the memory that each of them used. It does not name the trial, and Ray Tune
does not pass one on either: Tune ends with an error that it does not expect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ray.exceptions import OutOfMemoryError

STARTED = "started"
"""Report with which a process announces that it has taken over a trial, before the first epoch."""
_NODE = re.compile(r"Memory on the node \(IP: ([^,]+),")
_KILLED = re.compile(r"Selected to kill: .*?\bpid=(\d+), actual memory used=([\d.]+)GB")


@dataclass(frozen=True)
class ProcessId:
    """A process of the cluster.

    Attributes:
        node_ip: address of its node.
        pid: its number there.
    """

    node_ip: str
    pid: int


def with_announcement(trainable: Any) -> Any:
    """Return the same trainable, whose first result for each trial is `STARTED`.

    Tune adds address and number of the process to every result, but the first epoch is the one that may need too much
    memory.

    Args:
        trainable: a trainable class for `tune.Tuner` that reuses its process, see `tune.Trainable.reset_config`.
    """

    class AnnouncingTrainable(trainable):  # type: ignore[misc]
        """Announces its process before the first epoch of a trial."""

        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config)
            self._announced = False

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._announced = False
            return bool(super().reset_config(new_config))

        def step(self) -> dict[str, Any]:
            if not self._announced:
                self._announced = True
                return {"report": STARTED}
            return dict(super().step())

    AnnouncingTrainable.__name__ = trainable.__name__
    return AnnouncingTrainable


def find_largest_killed(error: OutOfMemoryError) -> ProcessId | None:
    """Return the process that used the most memory among those that Ray killed.

    Args:
        error: Ray's error, whose text names them.

    Returns:
        the process; None if the text does not tell.
    """
    text = str(error)
    node, killed = _NODE.search(text), _KILLED.findall(text)
    if node is None or not killed:
        return None
    pid, _ = max(killed, key=lambda process: float(process[1]))
    return ProcessId(node.group(1), int(pid))
