from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from core.errors import ConfigError
from search.study.controller import Budget, Controller, Rules
from search.study.retries import TrainingFailure
from search.study.trial_record import TrialRecord
from tests.helpers.controllers import RULES, ControllerFactory, report_values, start_trial
from tests.helpers.trial_records import epoch_record


def _whole(controller: Controller, value: float) -> TrialRecord:
    number = start_trial(controller)
    for epoch in range(1, controller.rules.max_epochs + 1):
        if controller.on_report(number, epoch_record(epoch, value)) == "stop":
            break
    return controller.study.trials[number]


def test_trials_are_asked_up_to_the_concurrency_and_the_budget(controllers: ControllerFactory) -> None:
    controller = controllers.open(budget=Budget(trials=3))
    assert [start_trial(controller), start_trial(controller)] == [0, 1]
    assert controller.next_trial() == "wait"
    assert report_values(controller, 0, 0.5, 0.5, 0.5, 0.5)[-1] == "stop"
    assert start_trial(controller) == 2
    report_values(controller, 1, 0.6, 0.6, 0.6, 0.6)
    assert controller.next_trial() == "wait"  # trial 2 may yet die and have to go on
    assert controller.end_reason == "trials"
    report_values(controller, 2, 0.7, 0.7, 0.7, 0.7)
    assert controller.next_trial() == "finished"


def test_a_trial_at_max_epochs_is_complete_and_one_outside_the_best_is_stopped(controllers: ControllerFactory) -> None:
    controller = controllers.open()
    assert _whole(controller, 0.5).outcome == "complete"
    weak = _whole(controller, 0.4)
    assert (weak.outcome, weak.last_epoch) == ("stopped", 1)
    assert weak.reason == "stopped at rung 1: rank 2 of 2, not in the top 1"
    assert [trial.number for trial in controllers.ended] == [0, 1]


def test_the_first_at_a_rung_is_stopped_when_later_ones_show_it_weak(controllers: ControllerFactory) -> None:
    rules = replace(RULES, max_epochs=9, grace=2, reduction=3, concurrency=3)
    controller = controllers.open(rules=rules)
    first = start_trial(controller)
    assert report_values(controller, first, 0.5, 0.5, 0.5) == ["continue"] * 3
    for value in (0.6, 0.4):
        report_values(controller, start_trial(controller), value, value)
    again = controllers.open(rules=rules)  # what the rung has seen, and when, is in the journal
    assert start_trial(again) == first
    assert report_values(again, first, 0.5) == ["stop"]
    trial = again.study.trials[first]
    assert (trial.outcome, trial.last_epoch) == ("stopped", 4)
    assert trial.reason == "stopped at rung 2: rank 2 of 3, not in the top 1"
    assert again.rungs[2] == {0: 0.5, 1: 0.6, 2: 0.4}
    assert controllers.open(rules=rules).study.trials[first].last.decision == trial.last.decision


def test_the_first_at_a_rung_goes_on_if_its_later_epochs_are_better(controllers: ControllerFactory) -> None:
    rules = replace(RULES, max_epochs=9, grace=2, reduction=3, concurrency=3)
    controller = controllers.open(rules=rules)
    first = start_trial(controller)
    report_values(controller, first, 0.5, 0.5, 0.5)
    for value in (0.6, 0.4):
        report_values(controller, start_trial(controller), value, value)
    assert report_values(controller, first, 0.7) == ["continue"]


def test_rungs_survive(controllers: ControllerFactory) -> None:
    controller = controllers.open()
    _whole(controller, 0.5)
    _whole(controller, 0.6)
    before = controller.rungs
    again = controllers.open()
    assert again.rungs == before == {1: {0: 0.5, 1: 0.6}, 2: {0: 0.5, 1: 0.6}}
    assert _whole(again, 0.55).outcome == "stopped"


def test_open_trials_continue_before_new_ones_are_proposed(controllers: ControllerFactory) -> None:
    controller = controllers.open()
    for value in (0.5, 0.6):
        report_values(controller, start_trial(controller), value)
    again = controllers.open()
    assert [start_trial(again), start_trial(again)] == [0, 1]
    assert [trial.attempts for trial in again.study.trials.values()] == [2, 2]
    report_values(again, 0, 0.5, 0.5, 0.5)
    assert again.study.trials[0].outcome == "complete"
    assert start_trial(again) == 2


def test_an_epoch_run_again_is_compared_and_counted_once(controllers: ControllerFactory) -> None:
    controller = controllers.open()
    number = start_trial(controller)
    report_values(controller, number, 0.5)
    again = controllers.open()
    assert start_trial(again) == number
    trial = again.study.trials[number]
    assert again.on_report(number, epoch_record(1, 0.5)) == "continue"
    assert trial.differences == []
    for _ in range(2):  # once is enough
        assert again.on_report(number, epoch_record(1, 0.7)) == "continue"
    expected = [f"trial 0, epoch 1, {name}: 0.5, run again 0.7" for name in ("value", "score")]
    assert trial.differences == expected
    assert trial.epochs[1].value == 0.5
    assert again.rungs[1] == {0: 0.5}
    assert controllers.open().study.trials[number].differences == expected


@pytest.mark.parametrize(
    ("tolerance", "again", "differs"),
    [(0.0, 0.5 + 1e-12, True), (1e-3, 0.5004, False), (1e-3, 0.501, True), (1e-3, math.nan, True)],
)
def test_how_much_an_epoch_run_again_may_differ(
    controllers: ControllerFactory, tolerance: float, again: float, differs: bool
) -> None:
    number = start_trial(controller := controllers.open())
    report_values(controller, number, 0.5)
    controller = controllers.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2, tolerance=tolerance))
    start_trial(controller)
    controller.on_report(number, replace(epoch_record(1, 0.5), train_loss=again))
    assert bool(controller.study.trials[number].differences) == differs


def test_the_death_of_the_driver_does_not_count_as_a_death_of_a_trial(controllers: ControllerFactory) -> None:
    for _ in range(6):
        controller = controllers.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2, attempts=2))
        assert start_trial(controller) == 0
    controller.on_failure(0, TrainingFailure("death", "killed"))
    assert start_trial(controller) == 0
    assert (controller.study.trials[0].attempts, controller.study.trials[0].deaths) == (7, ["killed"])


def test_why_a_trial_was_started_again_is_kept(controllers: ControllerFactory) -> None:
    controller = controllers.open()
    number = start_trial(controller)
    controller.on_failure(number, TrainingFailure("out of memory", "no room on the card"))
    expected = ["out of memory (1 at a time from then on): no room on the card"]
    assert controllers.open().study.trials[number].deaths == expected


def test_the_loss_of_all_processes_is_charged_to_its_cause_alone(controllers: ControllerFactory) -> None:
    controller = controllers.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=4, attempts=2))
    numbers = [start_trial(controller) for _ in range(4)]
    controller.on_all_lost(TrainingFailure("out of memory", "killed"), culprit=1)
    assert (list(controller.waiting), controller.running, controller.concurrency) == ([0, 2, 3, 1], set(), 3)
    assert [len(controller.study.trials[number].deaths) for number in numbers] == [0, 1, 0, 0]
    assert [start_trial(controller) for _ in range(3)] == [0, 2, 3]
    controller.on_report(0, epoch_record(1, math.nan))
    assert start_trial(controller) == 1
    controller.on_all_lost(TrainingFailure("out of memory", "killed"), culprit=1)
    assert controller.study.trials[1].outcome == "failed"
    assert controller.concurrency == 4  # what lowered it is gone
    assert [controller.study.trials[number].deaths for number in (2, 3)] == [[], []]


def test_a_loss_without_a_known_cause_is_charged_to_a_trial_that_ran_alone(controllers: ControllerFactory) -> None:
    controller = controllers.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=3, attempts=2))
    for number in range(3):
        assert start_trial(controller) == number
    for expected in (2, 1):
        controller.on_all_lost(TrainingFailure("out of memory", "killed"))
        assert (len(controller.waiting), controller.running, controller.concurrency) == (3, set(), expected)
        assert not any(trial.deaths for trial in controller.study.trials.values())
        for _ in range(expected):
            start_trial(controller)
        assert controller.next_trial() == "wait"
    alone = next(iter(controller.running))
    controller.on_all_lost(TrainingFailure("out of memory", "killed"))
    assert [trial.number for trial in controller.study.trials.values() if trial.deaths] == [alone]


def test_a_stop_request_is_obeyed_when_a_budget_is_already_spent(controllers: ControllerFactory) -> None:
    asked = []
    controller = controllers.open(budget=Budget(trials=1), stop_requested=lambda: bool(asked))
    number = start_trial(controller)
    assert (controller.next_trial(), controller.end_reason) == ("wait", "trials")
    asked.append(True)
    assert report_values(controller, number, 0.5) == ["stop"]
    assert (controller.end_reason, controller.study.trials[number].outcome) == ("stopped", None)


@pytest.mark.parametrize(
    ("budget", "ended"),
    [
        (Budget(trials=100, epochs=8), "epochs"),
        (Budget(trials=100, convergence=3), "convergence"),
        (Budget(trials=100, hours=1.0), "hours"),
        (Budget(trials=4), "trials"),
    ],
)
def test_each_budget_ends_the_campaign_by_its_name(controllers: ControllerFactory, budget: Budget, ended: str) -> None:
    controller = controllers.open(budget=budget)
    trials = 0
    while isinstance(trial := controller.next_trial(), TrialRecord):
        controllers.now += 600.0
        trials += 1
        for epoch in range(1, 5):
            if controller.on_report(trial.number, epoch_record(epoch, 0.5 - 0.01 * trial.number)) == "stop":
                break
        if trials == 2:  # hours are those of all runs
            controller = controllers.open(budget=budget)
    assert trial == "finished"
    assert controller.end_reason == ended
    assert trials == {"epochs": 5, "convergence": 4, "hours": 6, "trials": 4}[ended]


def test_a_finished_campaign_can_be_extended(controllers: ControllerFactory) -> None:
    controller = controllers.open(budget=Budget(trials=1))
    _whole(controller, 0.5)
    assert controller.next_trial() == "finished"
    assert controllers.open(budget=Budget(trials=1)).next_trial() == "finished"
    again = controllers.open(budget=Budget(trials=2))
    assert start_trial(again) == 1


def test_asked_to_stop_the_trials_are_left_open(controllers: ControllerFactory) -> None:
    asked = [False]
    controller = controllers.open(stop_requested=lambda: asked[0])
    number = start_trial(controller)
    asked[0] = True
    assert report_values(controller, number, 0.5) == ["stop"]
    assert controller.study.trials[number].outcome is None
    assert controller.study.trials[number].last_epoch == 1
    assert controller.next_trial() == "finished"
    assert controller.end_reason == "stopped"
    assert start_trial(controllers.open()) == number


def test_when_the_journal_cannot_be_written_everything_ends_and_the_reason_is_kept(
    controllers: ControllerFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = controllers.open()
    number = start_trial(controller)

    def full(*_: Any) -> None:
        raise ConfigError("journal.log cannot be written (No space left on device)", "Free disk space")

    monkeypatch.setattr("search.study.journal.backend.Journal._write", full)
    assert report_values(controller, number, 0.5) == ["stop"]
    assert controller.next_trial() == "finished"
    assert controller.end_reason == "failure"
    assert "No space left" in str(controller.failure)
    monkeypatch.undo()
    again = controllers.open()
    assert start_trial(again) == number
    assert again.study.trials[number].last_epoch == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("grace", [1, 2])
def test_a_value_that_is_not_finite_is_stopped_at_once(
    controllers: ControllerFactory, value: float, grace: int
) -> None:
    controller = controllers.open(rules=Rules(max_epochs=4, grace=grace, reduction=2, concurrency=1))
    number = start_trial(controller)
    assert report_values(controller, number, value) == ["stop"]
    assert controller.study.trials[number].outcome == "stopped"
    assert "not finite" in controller.study.trials[number].reason


def test_a_value_that_becomes_undefined_at_the_end_does_not_win(controllers: ControllerFactory) -> None:
    controller = controllers.open(rules=Rules(max_epochs=2, grace=3, reduction=2, concurrency=1))
    number = start_trial(controller)
    assert report_values(controller, number, 0.5, math.nan) == ["continue", "stop"]
    assert controller.study.trials[number].outcome == "stopped"


def test_the_late_end_of_an_attempt_does_not_end_the_next_one(controllers: ControllerFactory) -> None:
    controller = controllers.open()
    number = start_trial(controller)
    controller.on_failure(number, TrainingFailure("death", "killed"))
    assert start_trial(controller) == number
    controller.on_released(number, attempt_id=1)  # Ray may tell it late
    assert controller.running == {number}
    controller.on_released(number, attempt_id=2)
    assert controller.running == set()


def test_trials_without_an_improvement_are_counted_by_their_ends_after_a_resume_too(
    controllers: ControllerFactory,
) -> None:
    budget = Budget(trials=100, convergence=2)
    controller = controllers.open(Rules(max_epochs=4, grace=4, reduction=2, concurrency=3), budget)
    long = start_trial(controller)
    assert [_whole(controller, 0.3).number, _whole(controller, 0.2).number] == [1, 2]
    report_values(
        controller, long, 0.5, 0.5, 0.5, 0.5
    )  # the last to end, and the best: by their numbers two would have followed
    assert _whole(controller, 0.2).number == 3
    assert start_trial(controllers.open(controller.rules, budget)) == 4
