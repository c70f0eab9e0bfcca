"""What a node says of itself; what takes several nodes is in `tests/integration/test_cluster.py`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from search.nodes import software, this_machine
from search.packing import Packing
from search.preflight import examine

CPU, CUDA = Packing("cpu", 1, 0.0, 2), Packing("cuda", 1, 1.0, 2)
GOOD = replace(this_machine("node", 4.0, 1.0, objects=1 << 30), gpus_seen=1, memory=1 << 40, disk=1 << 40)


def test_a_node_that_is_as_it_should_be_has_no_finding() -> None:
    assert examine(GOOD, CPU, 1000, software()) == []
    assert examine(GOOD, CUDA, 1000, software()) == []


@pytest.mark.parametrize(
    ("change", "said", "cure"),
    [
        ({"gpus_seen": 0}, r"offers 1 GPU\(s\), and torch sees none", "driver"),
        ({"disk": 10**8}, "0.1 GB of disk", "temporary folder"),
        ({"memory": 10**8}, "0.1 GB of memory", "larger machine"),
        ({"objects": 10}, "object store of 0.00 GB does not hold", "--object-store-memory"),
        ({"ahead": -45.0}, "clock is -45 s off", "ntp"),
        ({"ahead": 45.0}, "clock is [+]45 s off", "ntp"),
        ({"software": replace(software(), source="0" * 64)}, "another source", "same wheel"),
    ],
)
def test_what_is_wrong_is_said_with_its_cure(change: dict[str, Any], said: str, cure: str) -> None:
    (finding,) = examine(replace(GOOD, **change), CUDA, 1000, software())
    assert finding.node == GOOD.name
    assert re.search(said, finding.what)
    assert cure in finding.cure


def test_a_gpu_that_nobody_wants_need_not_be_seen() -> None:
    assert examine(replace(GOOD, gpus_seen=0), CPU, 1000, software()) == []
