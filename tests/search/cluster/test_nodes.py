from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from search.cluster import nodes
from search.cluster.nodes import UnfitNodeError, check_machine, describe_this_machine, find_node_problems
from search.cluster.software import installed_software

GOOD = replace(
    describe_this_machine("node", 4.0, 1.0, object_store_memory=1 << 30),
    visible_gpus=1,
    free_memory=1 << 40,
    free_disk=1 << 40,
)


def test_this_machine_describes_its_resources_and_software() -> None:
    node = describe_this_machine()
    assert node.cpus >= 1
    assert node.free_memory > 0
    assert node.free_disk > 0
    assert node.software.versions["torch"].count(".") == 2
    assert "+" not in node.software.versions["torch"]  # builds for CPU and GPU are the same version
    assert len(node.software.source) == 64
    assert describe_this_machine("0123456789abcdef", 4.0, 2.0).name.endswith(" 01234567")


def test_a_difference_names_both_versions() -> None:
    mine = installed_software()
    assert mine.differences(mine) == []
    other = replace(mine, versions={**mine.versions, "torch": "2.0.0"})
    assert mine.differences(other) == [f"torch 2.0.0 (the driver has {mine.versions['torch']})"]
    without = replace(mine, versions={name: value for name, value in mine.versions.items() if name != "optuna"})
    assert mine.differences(without) == [f"optuna missing (the driver has {mine.versions['optuna']})"]
    changed = replace(mine, source="f" * 64)
    assert mine.differences(changed) == [
        f"another source of preset-search (ffffffffffff, the driver has {mine.source[:12]})"
    ]


def test_a_machine_with_other_software_is_refused() -> None:
    check_machine(installed_software())
    with pytest.raises(UnfitNodeError, match=r"has Python .* \(the driver has 1\.0\)\. Install the same wheel"):
        check_machine(replace(installed_software(), versions={"Python": "1.0"}))


def test_a_new_machine_has_to_have_disk_space(monkeypatch: pytest.MonkeyPatch) -> None:
    full = replace(describe_this_machine(), free_disk=0, free_memory=0)
    monkeypatch.setattr(nodes, "_this_machine_at_start", lambda: full)
    check_machine(installed_software())
    with pytest.raises(UnfitNodeError, match=r"has only 0\.0 GB of disk free\. Clear its temporary folder\."):
        check_machine(installed_software(), is_new=True)


def test_a_good_node_has_no_problems() -> None:
    assert find_node_problems(GOOD, False, 1000, installed_software()) == []
    assert find_node_problems(GOOD, True, 1000, installed_software()) == []


@pytest.mark.parametrize(
    ("change", "what", "remedy"),
    [
        ({"visible_gpus": 0}, r"offers 1 GPU\(s\), but torch sees none", "driver"),
        ({"free_disk": 10**8}, "0.1 GB of disk", "temporary folder"),
        ({"free_memory": 10**8}, "0.1 GB of memory", "larger machine"),
        ({"object_store_memory": 10}, "object store of 0.00 GB, too small for the data", "--object-store-memory"),
        ({"clock_skew": -45.0}, "clock that is -45 s off", "ntp"),
        ({"clock_skew": 45.0}, "clock that is [+]45 s off", "ntp"),
        ({"software": replace(installed_software(), source="0" * 64)}, "another source", "same wheel"),
    ],
)
def test_each_problem_is_found_with_its_remedy(change: dict[str, Any], what: str, remedy: str) -> None:
    (finding,) = find_node_problems(replace(GOOD, **change), True, 1000, installed_software())
    assert finding.node == GOOD.name
    assert re.search(what, finding.what)
    assert remedy in finding.remedy


def test_a_gpu_need_not_be_visible_where_trials_train_on_cpus() -> None:
    assert find_node_problems(replace(GOOD, visible_gpus=0), False, 1000, installed_software()) == []
