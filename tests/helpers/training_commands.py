"""Runs the command lines in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.cli import app

Command = Callable[..., tuple[int, str, str]]
"""Runs `preset-search` with some arguments, and returns exit code, output and errors."""


class Run:
    """Runs the command with a line of arguments; keeps what it printed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        self.out = self.err = ""

    def __call__(self, line: str) -> int:
        self.monkeypatch.setattr("sys.argv", ["preset-train", *line.split()])
        code: object = 0
        try:
            app.main()
        except SystemExit as stop:
            code = stop.code
        self.out, self.err = self.capsys.readouterr()
        assert isinstance(code, int)
        return code
