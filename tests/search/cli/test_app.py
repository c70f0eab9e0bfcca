"""Every command shows examples, and says what to install if something is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import list_files, run_command
from tests.helpers.processes import HANG_SECONDS


@pytest.mark.parametrize("command", ["run", "export", "resume", "stop", "replay"])
def test_help_has_examples(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run_command(monkeypatch, tmp_path, command, "--help") == 0
    assert "Example" in capsys.readouterr().out


def _run_without(missing: tuple[str, ...], line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    code = (
        "import json, sys\n"
        "missing, sys.argv = json.loads(sys.argv[1])\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in missing:\n"
        "            raise ModuleNotFoundError(name, name=name.split('.')[0])\n"
        "sys.meta_path.insert(0, Block())\n"
        "from search.__main__ import main\n"
        "main()\n"
    )
    arguments = json.dumps([missing, ["preset-search", *line.split()]])
    return subprocess.run(
        [sys.executable, "-c", code, arguments], capture_output=True, text=True, timeout=HANG_SECONDS, cwd=folder
    )


@pytest.mark.costly
@pytest.mark.parametrize("missing", ["ray", "optuna"])
def test_without_ray_or_optuna_a_command_that_needs_them_says_what_to_install(missing: str, tmp_path: Path) -> None:
    done = _run_without((missing,), "run --name try", tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"error: {missing} is not installed. Install it: pip install 'preset-search[search]'.\n"
    assert list_files(tmp_path) == []


@pytest.mark.parametrize("line", ["--help", "presets show production_small"])
def test_a_command_that_needs_neither_ray_nor_optuna_works_without_them(line: str, tmp_path: Path) -> None:
    done = _run_without(("ray", "optuna"), line, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
