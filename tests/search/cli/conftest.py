"""What the tests of the commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.cli import cluster, dispatch


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Collects what would be submitted: the campaign and the shell line."""
    submitted: list[tuple[str, str]] = []

    def submit(client: Any, name: str, line: str, folder: Path | None = None) -> str:
        submitted.append((name, line))
        if folder is not None:
            submitted.append(("files", " ".join(sorted(path.name for path in folder.rglob("*")))))
        return f"preset-search.{name}.1"

    for module in (cluster, dispatch):
        monkeypatch.setattr(module, "connect", lambda address: address)
        monkeypatch.setattr(module, "start_job", submit)
        monkeypatch.setattr(module, "run_job", submit)
        monkeypatch.setattr(module, "delete_job", lambda client, job: None)
    monkeypatch.setattr("search.remote.job_log.follow_job", lambda *args: 7)
    return submitted
