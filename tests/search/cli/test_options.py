from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from search.cli.options import results_flag
from search.results.folder import ROOT


@pytest.mark.parametrize("folder", ["elsewhere", "a folder; with $(words)", "it's"])
def test_a_proposed_command_names_the_folder_of_campaigns(folder: str) -> None:
    assert shlex.split(f"resume x{results_flag(Path(folder))}") == ["resume", "x", "--results", folder]


def test_a_proposed_command_does_not_name_the_default_folder() -> None:
    assert results_flag(ROOT) == ""
