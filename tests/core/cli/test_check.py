"""A checkpoint or a preset is compared with the checklist."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.training_commands import Run

pytestmark = pytest.mark.costly


@pytest.mark.parametrize("what", ["out/checkpoint.pt", "out"])
def test_a_checkpoint_is_held_against_the_checklist(run: Run, trained: Path, what: str) -> None:
    assert run(f"check {what}") == 0
    assert run.out.count("guide target") == 4
    assert run.out.count("│ gate") == 3
    assert "not measured" not in run.out
    assert "optimistic" in run.out


def test_a_preset_is_held_against_the_advice_alone(run: Run) -> None:
    assert run("check conservative") == 0
    assert run.out.count("not measured") == 9
    assert run.out.count("pass") == 6
