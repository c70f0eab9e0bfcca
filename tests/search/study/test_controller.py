from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigError
from search.storage.filesystem import Storage
from search.storage.monitor import StorageMonitor
from search.study.controller import Budget, Controller, Rules
from search.study.space import SpaceConfig
from search.study.study import CampaignStudy, StudySettings
from search.study.trial_record import TrialRecord
from tests.helpers.trial_records import row
from tests.helpers.unsteady_storage import Unsteady, at_once

RULES = Rules(max_epochs=4, grace=1, reduction=2, concurrency=2)
SETTINGS = StudySettings("c", SpaceConfig().distributions(), "random", "complete", seed=0)


class Desk:
    """Opens books over one journal, one after the other."""

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
    made = Desk(tmp_path / "journal.log")
    yield made
    if made.study is not None:
        made.study.close()


def _start(book: Controller) -> int:
    log = book.next()
    assert isinstance(log, TrialRecord), log
    return log.number


def _run(book: Controller, number: int, *values: float) -> list[str]:
    first = book.study.trials[number].last_epoch + 1
    return [book.result(number, row(epoch, value)) for epoch, value in enumerate(values, start=first)]


def _whole(book: Controller, value: float) -> TrialRecord:
    number = _start(book)
    for epoch in range(1, book.rules.max_epochs + 1):
        if book.result(number, row(epoch, value)) == "stop":
            break
    return book.study.trials[number]


def test_trials_are_asked_up_to_the_concurrency_and_the_budget(desk: Desk) -> None:
    book = desk.open(budget=Budget(trials=3))
    assert [_start(book), _start(book)] == [0, 1]
    assert book.next() == "wait"
    assert _run(book, 0, 0.5, 0.5, 0.5, 0.5)[-1] == "stop"
    assert _start(book) == 2
    _run(book, 1, 0.6, 0.6, 0.6, 0.6)
    assert book.next() == "wait"  # trial 2 may yet die and have to go on
    assert book.ending == "trials"
    _run(book, 2, 0.7, 0.7, 0.7, 0.7)
    assert book.next() == "finished"


def test_a_trial_at_max_epochs_is_complete_and_one_outside_the_best_is_stopped(desk: Desk) -> None:
    book = desk.open()
    assert _whole(book, 0.5).outcome == "complete"
    weak = _whole(book, 0.4)
    assert (weak.outcome, weak.last_epoch) == ("stopped", 1)
    assert weak.reason == "stopped at rung 1: place 2 of 2, of which 1 go on"
    assert [log.number for log in desk.ended] == [0, 1]


def test_rungs_survive(desk: Desk) -> None:
    book = desk.open()
    _whole(book, 0.5)
    _whole(book, 0.6)
    before = book.rungs
    again = desk.open()
    assert again.rungs == before == {1: {0: 0.5, 1: 0.6}, 2: {0: 0.5, 1: 0.6}}
    assert _whole(again, 0.55).outcome == "stopped"


def test_open_trials_go_on_before_new_ones_are_asked(desk: Desk) -> None:
    book = desk.open()
    for value in (0.5, 0.6):
        _run(book, _start(book), value)
    again = desk.open()
    assert [_start(again), _start(again)] == [0, 1]
    assert [log.attempts for log in again.study.trials.values()] == [2, 2]
    _run(again, 0, 0.5, 0.5, 0.5)
    assert again.study.trials[0].outcome == "complete"
    assert _start(again) == 2


def test_an_epoch_run_again_is_compared_and_counted_once(desk: Desk) -> None:
    book = desk.open()
    number = _start(book)
    _run(book, number, 0.5)
    again = desk.open()
    assert _start(again) == number
    log = again.study.trials[number]
    assert again.result(number, row(1, 0.5)) == "continue"
    assert log.differences == []
    for _ in range(2):  # once is enough
        assert again.result(number, row(1, 0.7)) == "continue"
    wanted = [f"trial 0, epoch 1, {name}: 0.5, run again 0.7" for name in ("value", "score")]
    assert log.differences == wanted
    assert log.epochs[1].value == 0.5
    assert again.rungs[1] == {0: 0.5}
    assert desk.open().study.trials[number].differences == wanted


@pytest.mark.parametrize(
    ("tolerance", "again", "differs"),
    [(0.0, 0.5 + 1e-12, True), (1e-3, 0.5004, False), (1e-3, 0.501, True), (1e-3, math.nan, True)],
)
def test_how_much_an_epoch_run_again_may_differ(desk: Desk, tolerance: float, again: float, differs: bool) -> None:
    number = _start(book := desk.open())
    _run(book, number, 0.5)
    book = desk.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2, tolerance=tolerance))
    _start(book)
    book.result(number, {**row(1, 0.5), "train_loss": again})
    assert bool(book.study.trials[number].differences) == differs


def test_a_dead_process_goes_on_up_to_a_bound(desk: Desk) -> None:
    book = desk.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2, attempts=3))
    number = _start(book)
    for attempt in (2, 3):
        book.died(number, "killed")
        assert _start(book) == number
        assert book.study.trials[number].attempts == attempt
    book.died(number, "killed")
    log = book.study.trials[number]
    assert (log.outcome, log.reason) == ("failed", "its process died 3 times: killed")
    assert log.deaths == ["killed"] * 3
    assert _start(book) == 1


def test_the_death_of_the_driver_is_no_death_of_a_trial(desk: Desk) -> None:
    for _ in range(6):
        book = desk.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2, attempts=2))
        assert _start(book) == 0
    book.died(0, "killed")
    assert _start(book) == 0
    assert (book.study.trials[0].attempts, book.study.trials[0].deaths) == (7, ["killed"])


def test_why_a_trial_was_started_again_is_kept(desk: Desk) -> None:
    book = desk.open()
    number = _start(book)
    book.out_of_memory(number, "no room on the card")
    wanted = ["out of memory (1 at a time from then on): no room on the card"]
    assert desk.open().study.trials[number].deaths == wanted


def test_a_full_disk_ends_it_all_and_burns_no_trial(desk: Desk) -> None:
    book = desk.open()
    first, second = _start(book), _start(book)
    book.no_storage(first, "1.pt cannot be written (No space left on device)")
    assert _run(book, second, 0.5) == ["stop"]
    assert book.next() == "finished"
    assert "Make room, then resume" in str(book.failure)
    again = desk.open()
    assert [_start(again), _start(again)] == [first, second]
    assert [log.deaths for log in again.study.trials.values()] == [[], []]


def test_a_storage_that_does_not_answer_is_waited_for_and_burns_no_trial(desk: Desk) -> None:
    storage = Unsteady()
    now = 0.0
    said: list[str] = []
    book = desk.open()
    book.watch = StorageMonitor(storage, said.append, lambda: now, patience=60, start=at_once)
    first, second = _start(book), _start(book)
    storage.up = False
    book.no_storage(first, "s3://bucket cannot be written.")
    assert book.next() == "wait"
    now = 10.0
    assert (book.next(), storage.tried) == ("wait", 1)
    assert (book.next(), storage.tried) == ("wait", 1)  # it is not tried at every turn
    book.no_storage(second, "s3://bucket cannot be written.")
    storage.up, now = True, 20.0
    assert [_start(book), _start(book)] == [first, second]
    assert [(log.attempts, log.deaths) for log in book.study.trials.values()] == [(2, []), (2, [])]
    assert said == ["s3://bucket cannot be written. No trial is started until it does.", "The storage answers again."]


def test_a_storage_that_hangs_holds_nobody(desk: Desk) -> None:
    release = threading.Event()

    class Hanging(Storage):
        def write(self, name: str, content: bytes) -> None:
            release.wait(60)

    now = 0.0
    book = desk.open()
    book.watch = StorageMonitor(Hanging("s3://bucket"), clock=lambda: now)
    first = _start(book)
    book.no_storage(first, "down.")
    now = 10.0
    assert [book.next() for _ in range(3)] == ["wait"] * 3
    release.set()
    for _ in range(1000):
        if (found := book.next()) != "wait":
            break
        time.sleep(0.01)
    assert isinstance(found, TrialRecord)


def test_a_storage_that_hangs_is_not_waited_for_without_end(desk: Desk) -> None:
    now = 0.0
    book = desk.open()
    book.watch = StorageMonitor(Unsteady(), clock=lambda: now, patience=60, start=lambda _: Future())
    book.no_storage(_start(book), "down.")
    now = 10.0
    assert book.next() == "wait"
    now = 61.0
    assert book.next() == "finished"
    assert "has not answered for 1 min: down. Bring it up, then resume" in str(book.failure)


def test_a_storage_that_stays_away_ends_the_campaign_which_can_be_resumed(desk: Desk) -> None:
    storage = Unsteady()
    now = 0.0
    book = desk.open()
    book.watch = StorageMonitor(storage, clock=lambda: now, patience=60, start=at_once)
    first = _start(book)
    storage.up = False
    book.no_storage(first, "down.")
    now = 61.0
    assert book.next() == "finished"
    assert "has not answered for 1 min: s3://bucket/.probe cannot be written. Bring it up, then resume" in str(
        book.failure
    )
    assert _start(desk.open()) == first


def test_a_storage_that_answers_the_driver_alone_does_not_make_an_endless_loop(desk: Desk) -> None:
    now = 0.0
    book = desk.open()
    book.watch = StorageMonitor(Unsteady(), clock=lambda: now, start=at_once)
    for _ in range(99):
        if book.next() == "finished":
            break
        book.no_storage(0, "s3://bucket/c/0/1/1.pt cannot be written (ACCESS_DENIED).")
        now += 10.0
    assert "ACCESS_DENIED). Let every node in, then resume" in str(book.failure)
    assert book.study.trials[0].attempts == book.rules.attempts + 1


def test_a_node_that_cannot_take_part_ends_it_all_and_burns_no_trial(desk: Desk) -> None:
    book = desk.open()
    first = _start(book)
    book.unfit("Node two has torch 2.0, here 2.13. Install the same.")
    assert book.next() == "finished"
    assert "Node two has torch 2.0" in str(book.failure)
    assert _start(desk.open()) == first


def test_all_that_runs_goes_on_when_every_process_died(desk: Desk) -> None:
    book = desk.open()
    numbers = [_start(book), _start(book)]
    book.all_died("killed", no_room=True)
    assert (list(book.waiting), book.live, book.concurrency) == (numbers, set(), 1)


def test_a_stop_is_heard_when_a_budget_is_spent_already(desk: Desk) -> None:
    asked = []
    book = desk.open(budget=Budget(trials=1), stop_requested=lambda: bool(asked))
    number = _start(book)
    assert (book.next(), book.ending) == ("wait", "trials")
    asked.append(True)
    assert _run(book, number, 0.5) == ["stop"]
    assert (book.ending, book.study.trials[number].outcome) == ("stopped", None)


def test_a_failure_of_its_own_is_not_tried_again(desk: Desk) -> None:
    book = desk.open()
    number = _start(book)
    book.failed(number, "NonFiniteLossError: at step 3")
    book.died(number, "its process ended")  # whatever is told afterwards
    assert book.study.trials[number].outcome == "failed"
    assert book.study.trials[number].reason == "NonFiniteLossError: at step 3"
    assert not book.waiting


def test_want_of_memory_lowers_the_concurrency_and_goes_on(desk: Desk) -> None:
    book = desk.open()
    first, second = _start(book), _start(book)
    book.out_of_memory(second, "no room")
    assert book.next() == "wait"
    _run(book, first, 0.5, 0.5, 0.5, 0.5)
    assert _start(book) == second
    assert book.next() == "wait"
    book.out_of_memory(second, "no room")
    assert book.concurrency == 1


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
    book = desk.open(budget=budget)
    trials = 0
    while isinstance(log := book.next(), TrialRecord):
        desk.now += 600.0
        trials += 1
        for epoch in range(1, 5):
            if book.result(log.number, row(epoch, 0.5)) == "stop":
                break
        if trials == 2:  # hours are those of all runs
            book = desk.open(budget=budget)
    assert log == "finished"
    assert book.ending == ended
    assert trials == {"epochs": 5, "convergence": 4, "hours": 6, "trials": 4}[ended]


def test_a_finished_campaign_can_be_extended(desk: Desk) -> None:
    book = desk.open(budget=Budget(trials=1))
    _whole(book, 0.5)
    assert book.next() == "finished"
    assert desk.open(budget=Budget(trials=1)).next() == "finished"
    again = desk.open(budget=Budget(trials=2))
    assert _start(again) == 1


def test_asked_to_stop_the_trials_are_left_open(desk: Desk) -> None:
    asked = [False]
    book = desk.open(stop_requested=lambda: asked[0])
    number = _start(book)
    asked[0] = True
    assert _run(book, number, 0.5) == ["stop"]
    assert book.study.trials[number].outcome is None
    assert book.study.trials[number].last_epoch == 1
    assert book.next() == "finished"
    assert book.ending == "stopped"
    assert _start(desk.open()) == number


def test_when_the_journal_cannot_be_written_everything_ends_and_the_reason_is_kept(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = desk.open()
    number = _start(book)

    def full(*_: Any) -> None:
        raise ConfigError("journal.log cannot be written (No space left on device)", "Make room")

    monkeypatch.setattr("search.study.journal.Journal._write", full)
    assert _run(book, number, 0.5) == ["stop"]
    assert book.next() == "finished"
    assert book.ending == "failure"
    assert "No space left" in str(book.failure)
    monkeypatch.undo()
    again = desk.open()
    assert _start(again) == number
    assert again.study.trials[number].last_epoch == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("grace", [1, 2])
def test_a_value_that_is_not_finite_is_stoppedat_once(desk: Desk, value: float, grace: int) -> None:
    book = desk.open(rules=Rules(max_epochs=4, grace=grace, reduction=2, concurrency=1))
    number = _start(book)
    assert _run(book, number, value) == ["stop"]
    assert book.study.trials[number].outcome == "stopped"
    assert "not finite" in book.study.trials[number].reason


def test_a_value_that_becomes_undefined_at_the_end_does_not_win(desk: Desk) -> None:
    book = desk.open(rules=Rules(max_epochs=2, grace=3, reduction=2, concurrency=1))
    number = _start(book)
    assert _run(book, number, 0.5, math.nan) == ["continue", "stop"]
    assert book.study.trials[number].outcome == "stopped"


def test_the_late_end_of_an_attempt_does_not_end_the_next_one(desk: Desk) -> None:
    book = desk.open()
    number = _start(book)
    book.died(number, "killed")
    assert _start(book) == number
    book.left(number, attempt=1)  # Ray may tell it late
    assert book.live == {number}
    book.left(number, attempt=2)
    assert book.live == set()


def test_trials_without_an_improvement_are_counted_by_their_ends_after_a_resume_too(desk: Desk) -> None:
    budget = Budget(trials=100, convergence=2)
    book = desk.open(Rules(max_epochs=4, grace=4, reduction=2, concurrency=3), budget)
    long = _start(book)
    assert [_whole(book, 0.3).number, _whole(book, 0.2).number] == [1, 2]
    _run(book, long, 0.5, 0.5, 0.5, 0.5)  # the last to end, and the best: by their numbers two would have followed
    assert _whole(book, 0.2).number == 3
    assert _start(desk.open(book.rules, budget)) == 4
