from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from search.cluster import nodes
from search.cluster.nodes import UnfitNodeError, check_machine, examine, this_machine
from search.cluster.software import software

GOOD = replace(this_machine("node", 4.0, 1.0, objects=1 << 30), gpus_seen=1, memory=1 << 40, disk=1 << 40)


def test_a_machine_knows_what_it_has_and_runs() -> None:
    node = this_machine()
    assert node.cpus >= 1
    assert node.memory > 0
    assert node.disk > 0
    assert node.software.versions["torch"].count(".") == 2
    assert "+" not in node.software.versions["torch"]  # the CPU's build and a GPU's are one version
    assert len(node.software.source) == 64
    assert this_machine("0123456789abcdef", 4.0, 2.0).name.endswith(" 01234567")


def test_what_differs_is_named_with_both_sides() -> None:
    mine = software()
    assert mine.differences(mine) == []
    other = replace(mine, versions={**mine.versions, "torch": "2.0.0"})
    assert mine.differences(other) == [f"torch 2.0.0, here {mine.versions['torch']}"]
    without = replace(mine, versions={name: value for name, value in mine.versions.items() if name != "optuna"})
    assert mine.differences(without) == [f"optuna missing, here {mine.versions['optuna']}"]
    changed = replace(mine, source="f" * 64)
    assert mine.differences(changed) == [f"preset-search of another source (ffffffffffff, here {mine.source[:12]})"]


def test_a_machine_that_runs_something_else_says_so() -> None:
    check_machine(software())
    with pytest.raises(UnfitNodeError, match=r"has Python .*, here 1\.0\. Install the same wheel"):
        check_machine(replace(software(), versions={"Python": "1.0"}))


def test_a_machine_that_came_later_has_to_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    full = replace(this_machine(), disk=0, memory=0)
    monkeypatch.setattr(nodes, "_as_found", lambda: full)
    check_machine(software())
    with pytest.raises(UnfitNodeError, match=r"has 0\.0 GB of disk free\. Clear .*, then resume"):
        check_machine(software(), is_new=True)


def test_a_node_that_is_as_it_should_be_has_no_finding() -> None:
    assert examine(GOOD, False, 1000, software()) == []
    assert examine(GOOD, True, 1000, software()) == []


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
    (finding,) = examine(replace(GOOD, **change), True, 1000, software())
    assert finding.node == GOOD.name
    assert re.search(said, finding.what)
    assert cure in finding.cure


def test_a_gpu_that_nobody_wants_need_not_be_seen() -> None:
    assert examine(replace(GOOD, gpus_seen=0), False, 1000, software()) == []
