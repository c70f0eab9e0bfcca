from __future__ import annotations

from typing import Any

import pytest
from ray.exceptions import OutOfMemoryError

from search.engine.processes import STARTED, ProcessId, find_largest_killed, with_announcement

KILLED = """\
2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 192.0.2.2, ID: b5be54c0b9c9) \
was 3.38GB used / 23.54GB limit (0.143465)
OOM kill reason: Memory usage 3626262528B exceeded threshold of 3614541824B (14.3% of 25276514304B limit)
Ray killed 2 worker(s) based on the killing policy
Considered workers: [
Selected to kill: (Actor(fd2586ae00fdad8533d93aeb01000000): job ID=01000000, lease ID=010000000e04, task name=\
A.__init__, required resources={}, pid=13851, actual memory used=0.06GB, worker ID=e192a65dd098)
Selected to kill: (Actor(61d3edc827a338cb478a0d5401000000): job ID=01000000, lease ID=00000000cf7b, task name=\
A.__init__, required resources={}, pid=13850, actual memory used=2.35GB, worker ID=e52e9f7fb557)
(Actor(71d3edc827a338cb478a0d5401000000): job ID=01000000, lease ID=00000000cf7c, task name=\
A.__init__, required resources={}, pid=13849, actual memory used=12.10GB, worker ID=e52e9f7fb558)
]
"""
"""The text of Ray 2.60, shortened."""


class Trial:
    """Stands for a trainable, without Ray."""

    def setup(self, config: dict[str, Any]) -> None:
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.epoch = 0
        return True

    def step(self) -> dict[str, Any]:
        self.epoch += 1
        return {"report": self.epoch}


def test_the_largest_of_the_killed_processes_is_found() -> None:
    assert find_largest_killed(OutOfMemoryError(KILLED)) == ProcessId("192.0.2.2", 13850)


@pytest.mark.parametrize(
    "text", ["", "killed", KILLED.replace("Selected to kill", "Chosen"), KILLED.replace("IP", "at")]
)
def test_no_process_is_found_in_a_text_that_names_none(text: str) -> None:
    assert find_largest_killed(OutOfMemoryError(text)) is None


def test_each_trial_of_a_process_is_announced_before_its_first_epoch() -> None:
    trial = with_announcement(Trial)()
    trial.setup({})
    reports = [trial.step()["report"] for _ in range(3)]
    assert trial.reset_config({})
    assert reports + [trial.step()["report"] for _ in range(2)] == [STARTED, 1, 2, STARTED, 1]
