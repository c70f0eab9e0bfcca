"""The examples in docstrings give what they show."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.helpers.tracked import ROOT, tracked_files

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for pattern in ("core/*.py", "search/*.py")
    for path in tracked_files(pattern)
    if path.exists() and ">>>" in path.read_text()
]


def test_there_are_examples() -> None:
    assert len(MODULES) >= 5


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
