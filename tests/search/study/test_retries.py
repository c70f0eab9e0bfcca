from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from search.storage.filesystem import Storage
from search.storage.monitor import StorageMonitor
from search.study.controller import Rules
from search.study.retries import Cause, Consequence, RetryPolicy, TrainingFailure
from search.study.trial_record import TrialRecord
from tests.helpers.controllers import ControllerFactory, report_values, start_trial
from tests.helpers.trial_records import epoch_record
from tests.helpers.unsteady_storage import Unsteady, at_once

counts = st.integers(0, 100)
attempts = st.integers(1, 100)


@given(attempts=attempts, deaths=counts, refusals=counts, remote=st.booleans())
def test_a_training_that_fails_by_itself_is_given_up_at_once(
    attempts: int, deaths: int, refusals: int, remote: bool
) -> None:
    assert RetryPolicy(attempts, remote).decide("failure", deaths, refusals) == "give up"


@given(attempts=attempts, deaths=counts, refusals=counts, remote=st.booleans())
def test_an_unfit_node_ends_the_campaign_at_once(attempts: int, deaths: int, refusals: int, remote: bool) -> None:
    assert RetryPolicy(attempts, remote).decide("unfit node", deaths, refusals) == "end campaign"


@pytest.mark.parametrize("cause", ["death", "out of memory"])
@given(attempts=attempts, deaths=st.integers(1, 100), refusals=counts, remote=st.booleans())
def test_a_process_may_die_fewer_times_than_there_are_attempts(
    cause: Cause, attempts: int, deaths: int, refusals: int, remote: bool
) -> None:
    expected = "retry" if deaths < attempts else "give up"
    assert RetryPolicy(attempts, remote).decide(cause, deaths, refusals) == expected


@given(attempts=attempts, deaths=counts, refusals=st.integers(1, 100))
def test_a_remote_storage_may_be_away_as_often_in_a_row_as_there_are_attempts(
    attempts: int, deaths: int, refusals: int
) -> None:
    expected = "retry" if refusals <= attempts else "end campaign"
    assert RetryPolicy(attempts, has_remote_storage=True).decide("storage", deaths, refusals) == expected


@given(attempts=attempts, deaths=counts, refusals=st.integers(1, 100))
def test_a_full_disk_of_this_machine_ends_the_campaign_at_once(attempts: int, deaths: int, refusals: int) -> None:
    assert RetryPolicy(attempts).decide("storage", deaths, refusals) == "end campaign"


@pytest.mark.parametrize(
    ("cause", "deaths", "refusals", "verdict"),
    [
        ("death", 2, 0, "retry"),
        ("death", 3, 0, "give up"),
        ("death", 4, 0, "give up"),
        ("out of memory", 2, 0, "retry"),
        ("out of memory", 3, 0, "give up"),
        ("storage", 0, 3, "retry"),
        ("storage", 0, 4, "end campaign"),
        ("lost node", 9, 0, "retry"),  # preempted machines are nobody's fault
        ("storage", 9, 1, "retry"),  # deaths do not count against the storage
        ("death", 1, 9, "retry"),  # nor does the storage count as a death
    ],
)
def test_the_bounds_of_three_attempts(cause: Cause, deaths: int, refusals: int, verdict: Consequence) -> None:
    assert RetryPolicy(3, has_remote_storage=True).decide(cause, deaths, refusals) == verdict


def test_a_training_of_one_attempt_is_never_started_again_after_a_death() -> None:
    assert RetryPolicy(1).decide("death", 1, 0) == "give up"


@pytest.mark.parametrize("cause", get_args(Cause))
@pytest.mark.parametrize("remote", [False, True])
def test_every_cause_has_a_verdict(cause: Cause, remote: bool) -> None:
    assert RetryPolicy(3, remote).decide(cause, 1, 1) in get_args(Consequence)


@pytest.mark.parametrize(
    ("cause", "remote", "remedy"),
    [
        ("storage", True, "Give every node access to the storage, then resume the campaign"),
        ("storage", False, "Free disk space, then resume the campaign"),
        ("unfit node", True, "Then resume the campaign"),
        ("unfit node", False, "Then resume the campaign"),
    ],
)
def test_the_error_that_ends_a_campaign_gives_the_reason_and_what_helps(
    cause: Cause, remote: bool, remedy: str
) -> None:
    error = RetryPolicy(3, remote).campaign_error(TrainingFailure(cause, "1.pt cannot be written."))
    assert isinstance(error, ConfigError)
    assert (error.what, error.remedy) == ("1.pt cannot be written", remedy)
    assert str(error) == f"1.pt cannot be written. {remedy}."


def test_a_trial_whose_process_died_is_restarted_up_to_a_bound(controllers: ControllerFactory) -> None:
    controller = controllers.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2, attempts=3))
    number = start_trial(controller)
    for attempt in (2, 3):
        controller.on_failure(number, TrainingFailure("death", "killed"))
        assert start_trial(controller) == number
        assert controller.study.trials[number].attempts == attempt
    controller.on_failure(number, TrainingFailure("death", "killed"))
    trial = controller.study.trials[number]
    assert (trial.outcome, trial.reason) == ("failed", "its process died 3 times: killed")
    assert trial.deaths == ["killed"] * 3
    assert start_trial(controller) == 1


def test_only_deaths_without_a_new_epoch_between_them_count(controllers: ControllerFactory) -> None:
    controller = controllers.open(rules=Rules(max_epochs=9, grace=1, reduction=2, concurrency=2, attempts=2))
    number = start_trial(controller)
    for epoch in range(1, 9):
        controller.on_failure(number, TrainingFailure("death", "killed"))
        assert start_trial(controller) == number
        assert controller.on_report(number, epoch_record(max(epoch - 1, 1), 0.5)) == "continue"  # is run again
        assert controller.on_report(number, epoch_record(epoch, 0.5)) == "continue"
    assert len(controller.study.trials[number].deaths) == 8
    for _ in range(2):
        controller.on_failure(number, TrainingFailure("death", "killed"))
        if (trial := controller.study.trials[number]).outcome is None:
            assert start_trial(controller) == number
            controller.on_report(number, epoch_record(8, 0.5))  # an epoch that is run again is no progress
    assert (trial.outcome, trial.reason) == ("failed", "its process died 2 times: killed")


def test_a_trial_outlives_the_loss_of_any_number_of_nodes(controllers: ControllerFactory) -> None:
    controller = controllers.open(rules=Rules(max_epochs=4, grace=1, reduction=2, concurrency=2, attempts=2))
    for _ in range(20):
        number = start_trial(controller)
        controller.on_failure(number, TrainingFailure("lost node", "its node has died"))
    assert controller.study.trials[number].outcome is None
    assert len(controller.study.trials[number].deaths) == 20


def test_a_full_disk_ends_the_campaign_and_fails_no_trial(controllers: ControllerFactory) -> None:
    controller = controllers.open()
    first, second = start_trial(controller), start_trial(controller)
    controller.on_failure(first, TrainingFailure("storage", "1.pt cannot be written (No space left on device)"))
    assert report_values(controller, second, 0.5) == ["stop"]
    assert controller.next_trial() == "finished"
    assert "Free disk space, then resume" in str(controller.failure)
    again = controllers.open()
    assert [start_trial(again), start_trial(again)] == [first, second]
    assert [trial.deaths for trial in again.study.trials.values()] == [[], []]


def test_an_unavailable_storage_is_waited_for_and_fails_no_trial(controllers: ControllerFactory) -> None:
    storage = Unsteady()
    now = 0.0
    messages: list[str] = []
    controller = controllers.open()
    controller.monitor = StorageMonitor(storage, messages.append, lambda: now, patience=60, start=at_once)
    first, second = start_trial(controller), start_trial(controller)
    storage.up = False
    controller.on_failure(first, TrainingFailure("storage", "s3://bucket cannot be written."))
    assert controller.next_trial() == "wait"
    now = 10.0
    assert (controller.next_trial(), storage.tried) == ("wait", 1)
    assert (controller.next_trial(), storage.tried) == ("wait", 1)  # it is not tried at every turn
    controller.on_failure(second, TrainingFailure("storage", "s3://bucket cannot be written."))
    storage.up, now = True, 20.0
    assert [start_trial(controller), start_trial(controller)] == [first, second]
    assert [(trial.attempts, trial.deaths) for trial in controller.study.trials.values()] == [(2, []), (2, [])]
    assert messages == [
        "s3://bucket cannot be written. No training is started until the storage is available again.",
        "The storage is available again.",
    ]


def test_a_storage_that_hangs_does_not_block_the_driver(controllers: ControllerFactory) -> None:
    release = threading.Event()

    class Hanging(Storage):
        def write(self, name: str, content: bytes) -> None:
            release.wait(60)

    now = 0.0
    controller = controllers.open()
    controller.monitor = StorageMonitor(Hanging("s3://bucket"), clock=lambda: now)
    first = start_trial(controller)
    controller.on_failure(first, TrainingFailure("storage", "down."))
    now = 10.0
    assert [controller.next_trial() for _ in range(3)] == ["wait"] * 3
    release.set()
    for _ in range(1000):
        if (trial := controller.next_trial()) != "wait":
            break
        time.sleep(0.01)
    assert isinstance(trial, TrialRecord)


def test_waiting_for_a_storage_that_hangs_ends(controllers: ControllerFactory) -> None:
    now = 0.0
    controller = controllers.open()
    controller.monitor = StorageMonitor(Unsteady(), clock=lambda: now, patience=60, start=lambda _: Future())
    controller.on_failure(start_trial(controller), TrainingFailure("storage", "down."))
    now = 10.0
    assert controller.next_trial() == "wait"
    now = 61.0
    assert controller.next_trial() == "finished"
    assert "has not answered for 1 min: down. Bring it up, then resume" in str(controller.failure)


def test_a_storage_that_stays_unavailable_ends_the_campaign_which_can_be_resumed(
    controllers: ControllerFactory,
) -> None:
    storage = Unsteady()
    now = 0.0
    controller = controllers.open()
    controller.monitor = StorageMonitor(storage, clock=lambda: now, patience=60, start=at_once)
    first = start_trial(controller)
    storage.up = False
    controller.on_failure(first, TrainingFailure("storage", "down."))
    now = 61.0
    assert controller.next_trial() == "finished"
    assert "has not answered for 1 min: s3://bucket/.probe cannot be written. Bring it up, then resume" in str(
        controller.failure
    )
    assert start_trial(controllers.open()) == first


def test_a_storage_that_only_the_driver_reaches_causes_no_endless_loop(controllers: ControllerFactory) -> None:
    now = 0.0
    controller = controllers.open()
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


def test_an_unfit_node_ends_the_campaign_and_fails_no_trial(controllers: ControllerFactory) -> None:
    controller = controllers.open()
    first = start_trial(controller)
    controller.on_failure(first, TrainingFailure("unfit node", "Node two has torch 2.0, here 2.13. Install the same."))
    assert controller.next_trial() == "finished"
    assert "Node two has torch 2.0" in str(controller.failure)
    assert start_trial(controllers.open()) == first


def test_a_failure_of_its_own_is_not_tried_again(controllers: ControllerFactory) -> None:
    controller = controllers.open()
    number = start_trial(controller)
    controller.on_failure(number, TrainingFailure("failure", "NonFiniteLossError: at step 3"))
    controller.on_failure(number, TrainingFailure("death", "its process ended"))  # whatever is reported afterwards
    assert controller.study.trials[number].outcome == "failed"
    assert controller.study.trials[number].reason == "NonFiniteLossError: at step 3"
    assert not controller.waiting


def test_running_out_of_memory_lowers_the_concurrency(controllers: ControllerFactory) -> None:
    controller = controllers.open()
    first, second = start_trial(controller), start_trial(controller)
    controller.on_failure(second, TrainingFailure("out of memory", "no room"))
    assert controller.next_trial() == "wait"
    report_values(controller, first, 0.5, 0.5, 0.5, 0.5)
    assert start_trial(controller) == second
    assert controller.next_trial() == "wait"
    controller.on_failure(second, TrainingFailure("out of memory", "no room"))
    assert controller.concurrency == 1
