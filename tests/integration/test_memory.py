"""Ray kills a trial for want of memory, which Tune does not survive: the campaign does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from search.study import study
from tests.helpers.processes import HANG_SECONDS, environment, owned
from tests.helpers.stub_campaign import CONCURRENCY_FILE, SETTINGS

GREEDY, TRIALS = 3, 16
ROOM = 3e9
"""Bytes that Ray's own processes and the greedy trial may take together; the machine is not used up."""


def test_one_trial_that_takes_too_much_memory_fails_alone(tmp_path: Path) -> None:
    memory = psutil.virtual_memory()
    threshold = 1 - (memory.available - ROOM) / memory.total
    told = {"RAY_memory_usage_threshold": f"{threshold:.4f}", "RAY_memory_monitor_refresh_ms": "50"}
    with owned(tmp_path) as folder:
        command = [sys.executable, "-m", "tests.helpers.stub_campaign", str(folder), str(TRIALS)]
        command += ["--greedy", str(GREEDY)]
        done = subprocess.run(
            command, env=environment(folder) | told, capture_output=True, text=True, timeout=HANG_SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
    logs = study.read_trials(study.load_study(tmp_path / "journal.log", SETTINGS.name))
    assert [log.number for log in logs] == list(range(TRIALS))
    assert {log.outcome for log in logs if log.number != GREEDY} <= {"complete", "stopped"}
    greedy = logs[GREEDY]
    assert (greedy.outcome, greedy.attempts, len(greedy.deaths)) == ("failed", 3, 3)
    assert "died 3 times: out of memory (1 at a time from then on)" in greedy.reason
    assert not any(log.deaths for log in logs if log.number != GREEDY)
    assert (tmp_path / CONCURRENCY_FILE).read_text() == "2"  # as before, because the trial has failed
