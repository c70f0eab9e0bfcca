from __future__ import annotations

from dataclasses import replace

import pytest

from search.nodes import UnfitNodeError, check_software, software, this_machine


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
    check_software(software())
    with pytest.raises(UnfitNodeError, match=r"has Python .*, here 1\.0\. Install the same wheel"):
        check_software(replace(software(), versions={"Python": "1.0"}))
