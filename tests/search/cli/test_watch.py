from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from search.campaign.plan import plan_campaign
from search.campaign.run import run_campaign
from search.cli import watch
from search.engine.in_process import InProcessEngine
from tests.helpers.campaigns import config
from tests.helpers.commands import invoke

COMMITTED = Path(__file__).parents[3] / "results"
NAME = "btc-eth-15m-8m"


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies a committed campaign into the results of an empty folder, which becomes the present one."""
    shutil.copytree(COMMITTED / NAME, tmp_path / "results" / NAME)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("finished")
def test_of_a_finished_campaign_the_last_state_is_shown() -> None:
    text = invoke("watch", NAME)
    for part in (
        "confirmed: not certified",
        "32 of 32 trials ended",
        "238 saved",
        f"next: preset-search export {NAME}",
    ):
        assert part in text
    assert "left" not in text


@pytest.mark.usefixtures("finished")
def test_its_events_are_lines_of_json() -> None:
    events = [json.loads(line) for line in invoke("watch", NAME, "--json").splitlines()]
    assert sum(event["event"] == "epoch" for event in events) == 146
    assert sum(event["event"] == "ended" for event in events) == 32


def test_after_a_crash_it_says_how_to_go_on(finished: Path) -> None:
    for name in ("manifest.json", "verdict.json", "confirmation.parquet", "summary.json"):
        (finished / "results" / NAME / name).unlink()
    text = invoke("watch", NAME)
    assert "ended by a crash" in text
    assert f"next: preset-search resume {NAME}" in text


@pytest.mark.costly
def test_it_looks_on_until_the_campaign_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = plan_campaign(config(), Path("results"))
    seen: list[str] = []

    class Engine(InProcessEngine):
        """Lets someone watch the campaign once a trial has ended."""

        def run_trials(self, *arguments: object) -> None:
            """Start to watch, then train."""
            thread = threading.Thread(target=lambda: seen.append(invoke("watch", plan.config.name, "--every", "0.2")))
            thread.start()
            super().run_trials(*arguments)  # type: ignore[arg-type]
            self.watching = thread

    engine = Engine()
    monkeypatch.setattr(watch, "_LINE_SECONDS", 0.2)
    run_campaign(plan, engine)
    engine.watching.join(timeout=60)
    assert "running" in seen[0]
    assert "3 of 3 trials ended" in seen[0].splitlines()[-2]
    assert "next: preset-search confirm" in seen[0].splitlines()[-1]


def test_on_a_terminal_there_is_a_table_of_the_best(finished: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "search", "watch", NAME]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm", "PYTHONPATH": str(COMMITTED.parent)}
    with subprocess.Popen(command, cwd=finished, env=environment, stdout=follower, stderr=follower) as process:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 65536):
                shown += chunk
        except OSError:  # the other end is closed
            pass
        assert process.wait(timeout=60) == 0
    os.close(leader)
    assert b"lr 1.2e-03 batch 256" in shown
