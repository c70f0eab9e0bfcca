from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from search.storage.filesystem import Storage
from search.storage.monitor import StorageMonitor
from search.study.controller import Budget, Controller, Rules
from search.study.retries import TrainingFailure
from search.study.settings import StudySettings
from search.study.space import SpaceConfig
from search.study.study import CampaignStudy
from search.study.trial_record import TrialRecord
from tests.helpers.trial_records import epoch_record
from tests.helpers.unsteady_storage import Unsteady, at_once

RULES = Rules(max_epochs=4, grace=1, reduction=2, concurrency=2)
SETTINGS = StudySettings("c", SpaceConfig().distributions(), "random", "complete", seed=0)


class Desk:
    """Opens controllers over one journal, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.study: CampaignStudy | None = None
        self.ended: list[TrialRecord] = []
        self.now = 0.0

    def open(self, rules: Rules = RULES, budget: Budget | None = None, **more: Any) -> Controller:
        if self.study is not None:
            self.study.close()
        self.study = CampaignStudy(self.path, SETTINGS, clock=lambda: self.now)
        return Controller(self.study, rules, budget or Budget(trials=6), on_end=self.ended.append, **more)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path / "journal.log")
    yield opened
    if opened.study is not None:
        opened.study.close()


def _start(controller: Controller) -> int:
    trial = controller.next_trial()
    assert isinstance(trial, TrialRecord), trial
    return trial.number


def _run(controller: Controller, number: int, *values: float) -> list[str]:
    first = controller.study.trials[number].last_epoch + 1
    return [controller.on_report(number, epoch_record(epoch, value)) for epoch, value in enumerate(values, start=first)]


def _whole(controller: Controller, value: float) -> TrialRecord:
    number = _start(controller)
    for epoch in range(1, controller.rules.max_epochs + 1):
        if controller.on_report(number, epoch_record(epoch, value)) == "stop":
            break
    return controller.study.trials[number]


def test_trials_are_asked_up_to_the_concurrency_and_the_budget(desk: Desk) -> None:
    controller = desk.open(budget=Budget(trials=3))
    assert [_start(controller), _start(controller)] == [0, 1]
    assert controller.next_trial() == "wait"
    assert _run(controller, 0, 0.5, 0.5, 0.5, 0.5)[-1] == "stop"
    assert _start(controller) == 2
    _run(controller, 1, 0.6, 0.6, 0.6, 0.6)
    assert controller.next_trial() == "wait"  # trial 2 may yet die and have to go on
    assert controller.end_reason == "trials"
    _run(controller, 2, 0.7, 0.7, 0.7, 0.7)
    assert controller.next_trial() == "finished"


def test_a_trial_at_max_epochs_is_complete_and_one_outside_the_best_is_stopped(desk: Desk) -> None:
    controller = desk.open()
    assert _whole(controller, 0.5).outcome == "complete"
    weak = _whole(controller, 0.4)
    assert (weak.outcome, weak.last_epoch) == ("stopped", 1)
    assert weak.reason == "stopped at rung 1: rank 2 of 2, not in the top 1"
    assert [trial.number for trial in desk.ended] == [0, 1]


def test_rungs_survive(desk: Desk) -> None:
    controller = desk.open()
    _whole(controller, 0.5)
    _whole(controller, 0.6)
    before = controller.rungs
    again = desk.open()
    assert again.rungs == before == {1: {0: 0.5, 1: 0.6}, 2: {0: 0.5, 1: 0.6}}
    assert _whole(again, 0.55).outcome == "stopped"


def test_open_trials_go_on_before_new_ones_are_asked(desk: Desk) -> None:
    controller = desk.open()
    for value in (0.5, 0.6):
        _run(controller, _start(controller), value)
    again = desk.open()
    assert [_start(again), _start(again)] == [0, 1]
    assert [trial.attempts for trial in again.study.trials.values()] == [2, 2]
    _run(again, 0, 0.5, 0.5, 0.5)
    assert again.study.trials[0].outcome == "complete"
    assert _start(again) == 2


def test_an_epoch_run_again_is_compared_and_counted_once(desk: Desk) -> None:
    controller = desk.open()
    number = _start(controller)
    _run(controller, number, 0.5)
    again = desk.open()
    assert _start(again) == number
    trial = again.study.trials[number]
    assert again.on_report(number, epoch_record(1, 0.5)) == "continue"
    assert trial.differences == []
    for _ in range(2):  # once is enough
        assert again.on_report(number, epoch_record(1, 0.7)) == "continue"
    expected = [f"trial 0, epoch 1, {name}: 0.5, run again 0.7" for name in ("value", "score")]
    assert trial.differences == expected
    assert trial.epochs[1].value == 0.5
    assert again.rungs[1] == {0: 0.5}
    assert desk.open().study.trials[number].differences == expected


@pytest.mark.parametrize(
    ("tolerance", "again", "differs"),
    [(0.0, 0.5 + 1e-12, True), (1e-3, 0.5004, False), (1e-3, 0.501, True), (1e-3, math.nan, True)],
)
def test_how_much_an_epoch_run_again_may_differ(desk: Desk, tolerance: float, again: float, differs: bool) -> None:
    number = _start(controller := desk.open())
    _run(controller, number, 0.5)
    controller = desk.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2, tolerance=tolerance))
    _start(controller)
    controller.on_report(number, replace(epoch_record(1, 0.5), train_loss=again))
    assert bool(controller.study.trials[number].differences) == differs


def test_a_dead_process_goes_on_up_to_a_bound(desk: Desk) -> None:
    controller = desk.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2, attempts=3))
    number = _start(controller)
    for attempt in (2, 3):
        controller.on_failure(number, TrainingFailure("death", "killed"))
        assert _start(controller) == number
        assert controller.study.trials[number].attempts == attempt
    controller.on_failure(number, TrainingFailure("death", "killed"))
    trial = controller.study.trials[number]
    assert (trial.outcome, trial.reason) == ("failed", "its process died 3 times: killed")
    assert trial.deaths == ["killed"] * 3
    assert _start(controller) == 1


def test_the_death_of_the_driver_is_no_death_of_a_trial(desk: Desk) -> None:
    for _ in range(6):
        controller = desk.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2, attempts=2))
        assert _start(controller) == 0
    controller.on_failure(0, TrainingFailure("death", "killed"))
    assert _start(controller) == 0
    assert (controller.study.trials[0].attempts, controller.study.trials[0].deaths) == (7, ["killed"])


def test_why_a_trial_was_started_again_is_kept(desk: Desk) -> None:
    controller = desk.open()
    number = _start(controller)
    controller.on_failure(number, TrainingFailure("out of memory", "no room on the card"))
    expected = ["out of memory (1 at a time from then on): no room on the card"]
    assert desk.open().study.trials[number].deaths == expected


def test_a_full_disk_ends_it_all_and_burns_no_trial(desk: Desk) -> None:
    controller = desk.open()
    first, second = _start(controller), _start(controller)
    controller.on_failure(first, TrainingFailure("storage", "1.pt cannot be written (No space left on device)"))
    assert _run(controller, second, 0.5) == ["stop"]
    assert controller.next_trial() == "finished"
    assert "Free disk space, then resume" in str(controller.failure)
    again = desk.open()
    assert [_start(again), _start(again)] == [first, second]
    assert [trial.deaths for trial in again.study.trials.values()] == [[], []]


def test_a_storage_that_does_not_answer_is_waited_for_and_burns_no_trial(desk: Desk) -> None:
    storage = Unsteady()
    now = 0.0
    messages: list[str] = []
    controller = desk.open()
    controller.monitor = StorageMonitor(storage, messages.append, lambda: now, patience=60, start=at_once)
    first, second = _start(controller), _start(controller)
    storage.up = False
    controller.on_failure(first, TrainingFailure("storage", "s3://bucket cannot be written."))
    assert controller.next_trial() == "wait"
    now = 10.0
    assert (controller.next_trial(), storage.tried) == ("wait", 1)
    assert (controller.next_trial(), storage.tried) == ("wait", 1)  # it is not tried at every turn
    controller.on_failure(second, TrainingFailure("storage", "s3://bucket cannot be written."))
    storage.up, now = True, 20.0
    assert [_start(controller), _start(controller)] == [first, second]
    assert [(trial.attempts, trial.deaths) for trial in controller.study.trials.values()] == [(2, []), (2, [])]
    assert messages == [
        "s3://bucket cannot be written. No training is started until the storage is available again.",
        "The storage is available again.",
    ]


def test_a_storage_that_hangs_holds_nobody(desk: Desk) -> None:
    release = threading.Event()

    class Hanging(Storage):
        def write(self, name: str, content: bytes) -> None:
            release.wait(60)

    now = 0.0
    controller = desk.open()
    controller.monitor = StorageMonitor(Hanging("s3://bucket"), clock=lambda: now)
    first = _start(controller)
    controller.on_failure(first, TrainingFailure("storage", "down."))
    now = 10.0
    assert [controller.next_trial() for _ in range(3)] == ["wait"] * 3
    release.set()
    for _ in range(1000):
        if (trial := controller.next_trial()) != "wait":
            break
        time.sleep(0.01)
    assert isinstance(trial, TrialRecord)


def test_a_storage_that_hangs_is_not_waited_for_without_end(desk: Desk) -> None:
    now = 0.0
    controller = desk.open()
    controller.monitor = StorageMonitor(Unsteady(), clock=lambda: now, patience=60, start=lambda _: Future())
    controller.on_failure(_start(controller), TrainingFailure("storage", "down."))
    now = 10.0
    assert controller.next_trial() == "wait"
    now = 61.0
    assert controller.next_trial() == "finished"
    assert "has not answered for 1 min: down. Bring it up, then resume" in str(controller.failure)


def test_a_storage_that_stays_away_ends_the_campaign_which_can_be_resumed(desk: Desk) -> None:
    storage = Unsteady()
    now = 0.0
    controller = desk.open()
    controller.monitor = StorageMonitor(storage, clock=lambda: now, patience=60, start=at_once)
    first = _start(controller)
    storage.up = False
    controller.on_failure(first, TrainingFailure("storage", "down."))
    now = 61.0
    assert controller.next_trial() == "finished"
    assert "has not answered for 1 min: s3://bucket/.probe cannot be written. Bring it up, then resume" in str(
        controller.failure
    )
    assert _start(desk.open()) == first


def test_a_storage_that_answers_the_driver_alone_does_not_make_an_endless_loop(desk: Desk) -> None:
    now = 0.0
    controller = desk.open()
    controller.monitor = StorageMonitor(Unsteady(), clock=lambda: now, start=at_once)
    for _ in range(99):
        if controller.next_trial() == "finished":
            break
        controller.on_failure(
            0, TrainingFailure("storage", "s3://bucket/c/0/1/1.pt cannot be written (ACCESS_DENIED).")
        )
        now += 10.0
    assert "ACCESS_DENIED). Give every node access to the storage, then resume" in str(controller.failure)
    assert controller.study.trials[0].attempts == controller.rules.attempts + 1


def test_a_node_that_cannot_take_part_ends_it_all_and_burns_no_trial(desk: Desk) -> None:
    controller = desk.open()
    first = _start(controller)
    controller.on_failure(first, TrainingFailure("unfit node", "Node two has torch 2.0, here 2.13. Install the same."))
    assert controller.next_trial() == "finished"
    assert "Node two has torch 2.0" in str(controller.failure)
    assert _start(desk.open()) == first


def test_all_that_runs_goes_on_when_every_process_died(desk: Desk) -> None:
    controller = desk.open()
    numbers = [_start(controller), _start(controller)]
    controller.on_all_died(TrainingFailure("out of memory", "killed"))
    assert (list(controller.waiting), controller.running, controller.concurrency) == (numbers, set(), 1)


def test_a_stop_is_heard_when_a_budget_is_spent_already(desk: Desk) -> None:
    asked = []
    controller = desk.open(budget=Budget(trials=1), stop_requested=lambda: bool(asked))
    number = _start(controller)
    assert (controller.next_trial(), controller.end_reason) == ("wait", "trials")
    asked.append(True)
    assert _run(controller, number, 0.5) == ["stop"]
    assert (controller.end_reason, controller.study.trials[number].outcome) == ("stopped", None)


def test_a_failure_of_its_own_is_not_tried_again(desk: Desk) -> None:
    controller = desk.open()
    number = _start(controller)
    controller.on_failure(number, TrainingFailure("failure", "NonFiniteLossError: at step 3"))
    controller.on_failure(number, TrainingFailure("death", "its process ended"))  # whatever is reported afterwards
    assert controller.study.trials[number].outcome == "failed"
    assert controller.study.trials[number].reason == "NonFiniteLossError: at step 3"
    assert not controller.waiting


def test_want_of_memory_lowers_the_concurrency_and_goes_on(desk: Desk) -> None:
    controller = desk.open()
    first, second = _start(controller), _start(controller)
    controller.on_failure(second, TrainingFailure("out of memory", "no room"))
    assert controller.next_trial() == "wait"
    _run(controller, first, 0.5, 0.5, 0.5, 0.5)
    assert _start(controller) == second
    assert controller.next_trial() == "wait"
    controller.on_failure(second, TrainingFailure("out of memory", "no room"))
    assert controller.concurrency == 1


@pytest.mark.parametrize(
    ("budget", "ended"),
    [
        (Budget(trials=100, epochs=8), "epochs"),
        (Budget(trials=100, convergence=3), "convergence"),
        (Budget(trials=100, hours=1.0), "hours"),
        (Budget(trials=4), "trials"),
    ],
)
def test_each_budget_ends_the_campaign_by_its_name(desk: Desk, budget: Budget, ended: str) -> None:
    controller = desk.open(budget=budget)
    trials = 0
    while isinstance(trial := controller.next_trial(), TrialRecord):
        desk.now += 600.0
        trials += 1
        for epoch in range(1, 5):
            if controller.on_report(trial.number, epoch_record(epoch, 0.5)) == "stop":
                break
        if trials == 2:  # hours are those of all runs
            controller = desk.open(budget=budget)
    assert trial == "finished"
    assert controller.end_reason == ended
    assert trials == {"epochs": 5, "convergence": 4, "hours": 6, "trials": 4}[ended]


def test_a_finished_campaign_can_be_extended(desk: Desk) -> None:
    controller = desk.open(budget=Budget(trials=1))
    _whole(controller, 0.5)
    assert controller.next_trial() == "finished"
    assert desk.open(budget=Budget(trials=1)).next_trial() == "finished"
    again = desk.open(budget=Budget(trials=2))
    assert _start(again) == 1


def test_asked_to_stop_the_trials_are_left_open(desk: Desk) -> None:
    asked = [False]
    controller = desk.open(stop_requested=lambda: asked[0])
    number = _start(controller)
    asked[0] = True
    assert _run(controller, number, 0.5) == ["stop"]
    assert controller.study.trials[number].outcome is None
    assert controller.study.trials[number].last_epoch == 1
    assert controller.next_trial() == "finished"
    assert controller.end_reason == "stopped"
    assert _start(desk.open()) == number


def test_when_the_journal_cannot_be_written_everything_ends_and_the_reason_is_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = desk.open()
    number = _start(controller)

    def full(*_: Any) -> None:
        raise ConfigError("journal.log cannot be written (No space left on device)", "Free disk space")

    monkeypatch.setattr("search.study.journal.backend.Journal._write", full)
    assert _run(controller, number, 0.5) == ["stop"]
    assert controller.next_trial() == "finished"
    assert controller.end_reason == "failure"
    assert "No space left" in str(controller.failure)
    monkeypatch.undo()
    again = desk.open()
    assert _start(again) == number
    assert again.study.trials[number].last_epoch == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("grace", [1, 2])
def test_a_value_that_is_not_finite_is_stopped_at_once(desk: Desk, value: float, grace: int) -> None:
    controller = desk.open(rules=Rules(max_epochs=4, grace=grace, reduction=2, concurrency=1))
    number = _start(controller)
    assert _run(controller, number, value) == ["stop"]
    assert controller.study.trials[number].outcome == "stopped"
    assert "not finite" in controller.study.trials[number].reason


def test_a_value_that_becomes_undefined_at_the_end_does_not_win(desk: Desk) -> None:
    controller = desk.open(rules=Rules(max_epochs=2, grace=3, reduction=2, concurrency=1))
    number = _start(controller)
    assert _run(controller, number, 0.5, math.nan) == ["continue", "stop"]
    assert controller.study.trials[number].outcome == "stopped"


def test_the_late_end_of_an_attempt_does_not_end_the_next_one(desk: Desk) -> None:
    controller = desk.open()
    number = _start(controller)
    controller.on_failure(number, TrainingFailure("death", "killed"))
    assert _start(controller) == number
    controller.on_released(number, attempt_id=1)  # Ray may tell it late
    assert controller.running == {number}
    controller.on_released(number, attempt_id=2)
    assert controller.running == set()


def test_trials_without_an_improvement_are_counted_by_their_ends_after_a_resume_too(desk: Desk) -> None:
    budget = Budget(trials=100, convergence=2)
    controller = desk.open(Rules(max_epochs=4, grace=4, reduction=2, concurrency=3), budget)
    long = _start(controller)
    assert [_whole(controller, 0.3).number, _whole(controller, 0.2).number] == [1, 2]
    _run(
        controller, long, 0.5, 0.5, 0.5, 0.5
    )  # the last to end, and the best: by their numbers two would have followed
    assert _whole(controller, 0.2).number == 3
    assert _start(desk.open(controller.rules, budget)) == 4
