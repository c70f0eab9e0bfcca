"""The demo shows what it promises: a certified preset that is better than the guide's."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.processes import HANG_SECONDS, environment, owned

ROOT = Path(__file__).parents[2]
MODULES = {"preset-search": "search", "preset-train": "core"}


def _commands() -> list[list[str]]:
    """Read the commands of `make demo`."""
    target = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert target is not None
    lines = [shlex.split(line.strip().removeprefix("$(BIN)/"), comments=True) for line in target[1].splitlines()]
    return [[sys.executable, "-m", MODULES[name], *rest] for name, *rest in lines if name in MODULES]


@pytest.mark.slow
def test_the_demo_ends_with_a_certified_preset_that_beats_the_incumbent(tmp_path: Path) -> None:
    commands = _commands()
    assert [command[3] for command in commands] == ["run", "confirm", "export", "--preset"]
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    with owned(tmp_path) as folder:
        for command in commands:
            done = subprocess.run(
                command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=HANG_SECONDS
            )
            assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads((tmp_path / "results" / "demo" / "verdict.json").read_text())
    assert (verdict["status"], verdict["recommended"]) == ("certified", "winner")
    assert "certified" in (tmp_path / "presets" / "demo.yaml").read_text()
    assert (tmp_path / "checkpoints" / "demo" / "checkpoint.pt").exists()
