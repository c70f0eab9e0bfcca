from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError
from search.study.retries import Cause, Consequence, RetryPolicy, TrainingFailure

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
