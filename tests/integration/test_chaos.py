"""Drivers and trial processes are killed at random instants: nothing is lost, nothing counted twice."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from search.campaign.plan import plan_campaign
from search.campaign.run import run_campaign
from search.config import resolve_config
from search.engine.in_process import InProcessEngine
from search.results.folder import CampaignFolder
from search.study import study
from search.study.asha import rung_epochs
from search.study.journal.file import read_committed
from search.study.replay import replay_study
from search.study.trial_record import TrialRecord
from tests.helpers import tiny_campaign
from tests.helpers.processes import HANG_SECONDS, environment, kill, owned, processes_of, trial_processes_of
from tests.helpers.stub_campaign import RULES, SETTINGS, STRATEGIES, TRAINED_FILE, settings_of, value
from tests.helpers.tiny_campaign import NAME

KILLS = [
    pytest.param("stopping", 1, 12, id="one"),
    *(pytest.param(strategy, 20, 60, id=f"twenty-{strategy}", marks=pytest.mark.slow) for strategy in STRATEGIES),
]
"""How trials are judged, how often something is killed, and how many trials make the campaign last that long."""
RUNGS = rung_epochs(RULES.grace, RULES.reduction, RULES.max_epochs)


def _start(folder: Path, trials: int, strategy: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.helpers.stub_campaign", str(folder), str(trials), "--strategy", strategy]
    return subprocess.Popen(
        command, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _check(folder: Path, trials: int, strategy: str) -> list[TrialRecord]:
    """The end of every campaign, however it came about."""
    path = folder / "journal.log"
    logs = study.read_trials(study.load_study(path, SETTINGS.name))
    assert [log.number for log in logs] == list(range(trials))
    assert {log.outcome for log in logs} <= {"complete", "stopped"}
    for log in logs:
        # Each epoch once, with the value that its parameters give.
        assert list(log.epochs) == list(range(1, log.last_epoch + 1))
        scores = [value(log.params, epoch) for epoch in log.epochs]
        assert [entry.score for entry in log.epochs.values()] == scores
        for epoch, entry in log.epochs.items():
            mean = math.fsum(scores[:epoch]) / epoch
            assert entry.value == (pytest.approx(mean) if strategy == "cells" else scores[epoch - 1])
        assert (log.outcome == "complete") == (log.last_epoch == RULES.max_epochs)
    if strategy == "stopping":
        _check_stops(logs)
    else:
        _check_promotions(path, logs)
    if strategy == "cells":
        _check_trainings((folder / TRAINED_FILE).read_text(), logs)
    replayed = replay_study(path, settings_of(strategy))
    assert (replayed.proposals, replayed.equal) == (trials, trials)
    return logs


def _check_stops(logs: list[TrialRecord]) -> None:
    """An independent bookkeeping of the rungs: by the order in which they were reached."""
    seen: dict[int, list[float]] = {rung: [] for rung in RUNGS}
    decisions = []
    for log in logs:
        for epoch, entry in log.epochs.items():
            if epoch in seen:
                assert entry.decision is not None
                decisions.append((epoch, entry.decision.seen, entry.value, entry.decision))
    for rung, place, found, decision in sorted(decisions, key=lambda item: item[:2]):
        seen[rung].append(found)
        assert place == len(seen[rung]), "a rung forgot or counted twice"
        better = sum(other > found for other in seen[rung][:-1])
        goes_on = better < max(place // RULES.reduction, 1)
        assert decision.action == ("continue" if goes_on else "stop")


def _check_promotions(path: Path, logs: list[TrialRecord]) -> None:
    """An independent bookkeeping of the paused trials, by the order of the journal's lines."""
    reached: dict[int, dict[int, float]] = {rung: {} for rung in RUNGS}
    paused: dict[int, int] = {}

    def ranked(rung: int) -> list[int]:
        return sorted(reached[rung], key=lambda number: (-reached[rung][number], number))

    for line in read_committed(path)[0]:
        number = line.get("trial_id")
        for name, content in line.get("user_attr", {}).items() if number is not None else ():
            if name == "promoted":
                best = [other for other in ranked(content) if paused.get(other) == content]
                assert best[0] == number, "the best of those that were paused there goes on"
                assert ranked(content).index(number) < max(len(reached[content]) // RULES.reduction, 1)
                del paused[number]
            elif name.startswith("epoch_"):
                epoch, found = json.loads(content)["row"], json.loads(content)["decision"]
                assert number not in paused, "a paused trial was trained"
                assert (found is not None) == (epoch["epoch"] in reached)
                if found is None:
                    continue
                rung = reached[epoch["epoch"]]
                rung[number] = epoch["value"]
                rank, kept = 1 + ranked(epoch["epoch"]).index(number), len(rung) // RULES.reduction
                assert (found["seen"], found["rank"], found["kept"]) == (len(rung), rank, kept)
                if found["action"] == "pause":
                    paused[number] = epoch["epoch"]
                else:
                    assert rank <= kept
    assert {log.number for log in logs if log.outcome == "stopped"} == set(paused)
    for number, at in paused.items():
        rank, count = 1 + ranked(at).index(number), len(reached[at])
        kept = max(count // RULES.reduction, 1)
        assert rank > kept
        assert logs[number].reason == f"not promoted at rung {at}: rank {rank} of {count}, not in the top {kept}"


def _check_trainings(trained: str, logs: list[TrialRecord]) -> None:
    """No cell was trained twice, except the one at which an attempt was lost: that is what a retry costs."""
    begun: dict[int, dict[int, list[int]]] = {log.number: {} for log in logs}
    for line in trained.splitlines():
        number, attempt, cell = map(int, line.split())
        begun[number].setdefault(attempt, []).append(cell)
    for log in logs:
        attempts = [cells for _, cells in sorted(begun[log.number].items())]
        assert max(begun[log.number]) <= log.attempts
        for cells in attempts:
            assert cells == list(range(cells[0], cells[-1] + 1))
        for before, after in pairwise(attempts):
            assert after[0] in (before[-1], before[-1] + 1)
        assert attempts[0][0] == 1
        assert attempts[-1][-1] == log.last_epoch


@pytest.mark.parametrize(("strategy", "most", "trials"), KILLS)
def test_drivers_are_killed_and_each_trial_is_there_once(tmp_path: Path, strategy: str, most: int, trials: int) -> None:
    rng = random.SystemRandom()
    kills = 0
    with owned(tmp_path) as folder:
        while kills < most:
            with _start(folder, trials, strategy) as process:
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
        with _start(folder, trials, strategy) as process:
            output, _ = process.communicate(timeout=HANG_SECONDS)
            assert process.returncode == 0, output
        logs = _check(folder, trials, strategy)
    assert kills == most, "the campaign was over too soon: it proves nothing"
    assert any(log.attempts > 1 for log in logs)


@pytest.mark.parametrize(("strategy", "most", "trials"), KILLS)
def test_trial_processes_are_killed_and_each_trial_is_there_once(
    tmp_path: Path, strategy: str, most: int, trials: int
) -> None:
    rng = random.SystemRandom()
    kills = 0
    with owned(tmp_path) as folder, _start(folder, trials, strategy) as process:
        deadline = time.monotonic() + HANG_SECONDS
        while process.poll() is None and kills < most and time.monotonic() < deadline:
            time.sleep(rng.uniform(0.05, 0.3))
            running = trial_processes_of(folder)
            if running:
                kill([rng.choice(running)])
                kills += 1
        output, _ = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0, output
        logs = _check(folder, trials, strategy)
    assert kills == most, "the campaign was over too soon: it proves nothing"
    assert any(log.attempts > 1 for log in logs)


def _hurt(folder: Path, process: subprocess.Popen[str], most: int) -> int:
    """Kill trial processes at random moments while a campaign runs, and return how many were killed."""
    rng, kills = random.SystemRandom(), 0
    while process.poll() is None and kills < most:
        time.sleep(rng.uniform(0.1, 1.0))
        if running := trial_processes_of(folder):
            kill([rng.choice(running)])
            kills += 1
    return kills


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["promotion", "cells"])
def test_a_real_campaign_whose_processes_and_driver_are_killed_is_summarized_as_its_journal_says(
    tmp_path: Path, strategy: str
) -> None:
    cells = {"folds": 2, "seeds": 2} if strategy == "cells" else None
    name = tiny_campaign.write_file(
        tmp_path, trials=16, max_epochs=1 if cells else 4, grace=1, reduction=2, asha="promotion", policy="pruned",
        train_incumbent=False, attempts=8, cells=cells,
    )  # fmt: skip
    kills = 0
    with owned(tmp_path) as folder:
        for command, is_last in ((["run", name], False), (["resume", NAME], False), (["resume", NAME], True)):
            journal = tiny_campaign.journal(folder)
            before = journal.read_text().count('"kind":"result"') if journal.exists() else 0
            with subprocess.Popen(
                [sys.executable, "-m", "search", *command],
                cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            ) as process:  # fmt: skip
                tiny_campaign.wait_for(journal, "result", before + 1, process)
                kills += _hurt(folder, process, 2)
                if not is_last:
                    process.kill()
                output, _ = process.communicate(timeout=HANG_SECONDS)
            assert (process.returncode == 0) == is_last, output
        replayed = subprocess.run(
            [sys.executable, "-m", "search", "replay", NAME],
            cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=HANG_SECONDS, check=True,
        )  # fmt: skip
    assert "16 of 16 proposals are equal" in replayed.stdout
    assert kills == 6
    _check_tables(tmp_path, strategy)


def _check_tables(root: Path, strategy: str) -> None:
    """The tables and the summary say what the journal says, and the scores are those of a campaign without Ray."""
    config = resolve_config(root / f"{NAME}.yaml", {}, {})
    run_campaign(plan_campaign(config.model_copy(update={"name": "whole"}), root), InProcessEngine())
    folder, whole = CampaignFolder(root / "results" / NAME), CampaignFolder(root / "whole")
    trials, curves = folder.read_trials().set_index("number"), folder.read_curves().set_index(["number", "epoch"])
    assert trials.index.tolist() == list(range(16))
    assert trials["attempts"].max() > 2
    assert curves.index.is_unique
    expected = whole.read_curves().set_index(["number", "epoch"])
    both = curves.index.intersection(expected.index)
    assert len(both) >= 16
    np.testing.assert_array_equal(curves.loc[both, "score"], expected.loc[both, "score"])
    summary = json.loads(folder.summary.read_text())
    assert (summary["ended_by"], summary["differences"]) == ("trials", [])
    assert summary["trials"] == trials["status"].value_counts().to_dict()
    complete = trials[trials["status"] == "complete"]
    assert (complete["epochs"] == 4).all()
    scores = curves.loc[complete.index]["score"].groupby("number")
    values = scores.mean() if strategy == "cells" else scores.max()
    assert summary["winner"]["number"] == values.idxmax()
    assert summary["winner"]["value"] == pytest.approx(values.max())
    assert set(folder.read_predictions()["number"]) == set(complete.index)
