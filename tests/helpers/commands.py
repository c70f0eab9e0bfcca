"""Runs `preset-search` in this process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from search.cli.app import app, main


def run_command(monkeypatch: pytest.MonkeyPatch, folder: Path, *args: str) -> int:
    """Run the command line in a folder as the console script does, and return its exit code."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["preset-search", *args])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def invoke(*args: str, code: int = 0) -> str:
    """Run a command in the working folder, check its exit code, and return what it prints."""
    done = CliRunner().invoke(app, list(args))
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def list_files(folder: Path) -> list[str]:
    """Return the paths of everything below a folder, relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
