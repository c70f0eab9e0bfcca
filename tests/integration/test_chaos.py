"""Drivers and trial processes are killed at random instants: nothing is lost, nothing counted twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.study import study
from search.study.asha import rung_epochs
from search.study.replay import replay_study
from search.study.trial_record import TrialRecord
from tests.helpers.processes import HANG_SECONDS, environment, kill, owned, processes_of, trial_processes_of
from tests.helpers.stub_campaign import RULES, SETTINGS, value

KILLS = [pytest.param(1, 12, id="one"), pytest.param(20, 60, id="twenty", marks=pytest.mark.slow)]
"""How often something is killed, and how many trials make the campaign last that long."""


def _start(folder: Path, trials: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.helpers.stub_campaign", str(folder), str(trials)]
    return subprocess.Popen(
        command, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _check(folder: Path, trials: int) -> list[TrialRecord]:
    """The end of every campaign, however it came about."""
    path = folder / "journal.log"
    logs = study.read_trials(study.load_study(path, SETTINGS.name))
    assert [log.number for log in logs] == list(range(trials))
    assert {log.outcome for log in logs} <= {"complete", "stopped"}
    seen: dict[int, list[float]] = {rung: [] for rung in rung_epochs(RULES.grace, RULES.reduction, RULES.max_epochs)}
    decisions = []
    for log in logs:
        # Each epoch once, with the value that its parameters give.
        assert list(log.epochs) == list(range(1, log.last_epoch + 1))
        for epoch, entry in log.epochs.items():
            assert entry.value == value(log.params, epoch)
            if epoch in seen:
                assert entry.decision is not None
                decisions.append((epoch, entry.decision.seen, entry.value, entry.decision))
        assert (log.outcome == "complete") == (log.last_epoch == RULES.max_epochs)
    # An independent bookkeeping of the rungs: by the order in which they were reached.
    for rung, place, found, decision in sorted(decisions, key=lambda item: item[:2]):
        seen[rung].append(found)
        assert place == len(seen[rung]), "a rung forgot or counted twice"
        better = sum(other > found for other in seen[rung][:-1])
        goes_on = better < max(place // RULES.reduction, 1)
        assert decision.action == ("continue" if goes_on else "stop")
    replayed = replay_study(path, SETTINGS)
    assert (replayed.proposals, replayed.equal) == (trials, trials)
    return logs


@pytest.mark.parametrize(("most", "trials"), KILLS)
def test_drivers_are_killed_and_each_trial_is_there_once(tmp_path: Path, most: int, trials: int) -> None:
    rng = random.SystemRandom()
    kills = 0
    with owned(tmp_path) as folder:
        while kills < most:
            with _start(folder, trials) as process:
                journal, size = folder / "journal.log", 0
                if journal.exists():
                    size = journal.stat().st_size
                # Let it come to write about a trial, then a random while.
                deadline = time.monotonic() + HANG_SECONDS
                while time.monotonic() < deadline and process.poll() is None:
                    if journal.exists() and journal.stat().st_size > size and b'"result"' in journal.read_bytes():
                        break
                    time.sleep(0.01)
                time.sleep(rng.uniform(0, 0.5))
                if process.poll() is not None:
                    break  # it was done before it could be killed
                process.kill()
                process.communicate()
                kills += 1
            if kills % 2:  # half of the time, what it leaves behind is still there when the next one starts
                kill(processes_of(folder))
        with _start(folder, trials) as process:
            output, _ = process.communicate(timeout=HANG_SECONDS)
            assert process.returncode == 0, output
        logs = _check(folder, trials)
    assert kills == most, "the campaign was over too soon: it proves nothing"
    assert any(log.attempts > 1 for log in logs)


@pytest.mark.parametrize(("most", "trials"), KILLS)
def test_trial_processes_are_killed_and_each_trial_is_there_once(tmp_path: Path, most: int, trials: int) -> None:
    rng = random.SystemRandom()
    kills = 0
    with owned(tmp_path) as folder, _start(folder, trials) as process:
        deadline = time.monotonic() + HANG_SECONDS
        while process.poll() is None and kills < most and time.monotonic() < deadline:
            time.sleep(rng.uniform(0.05, 0.3))
            running = trial_processes_of(folder)
            if running:
                kill([rng.choice(running)])
                kills += 1
        output, _ = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0, output
        logs = _check(folder, trials)
    assert kills == most, "the campaign was over too soon: it proves nothing"
    assert any(log.attempts > 1 for log in logs)
