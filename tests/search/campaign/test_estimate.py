from __future__ import annotations

from dataclasses import replace

import pytest

from search.campaign.estimate import RemainingTime, describe_duration
from search.study.trial_record import TrialRecord
from tests.helpers.trial_records import epoch_record


def _remaining(**changes: object) -> RemainingTime:
    settings = {"rungs": (2, 6), "reduction": 3, "max_epochs": 18, "pauses": False, "concurrency": 4, "requested": 10}
    return RemainingTime(**(settings | changes))  # type: ignore[arg-type]


def _trial(number: int, epochs: int, outcome: str | None = None) -> TrialRecord:
    records = {epoch: replace(epoch_record(epoch, 0.5), seconds=10.0) for epoch in range(1, epochs + 1)}
    return TrialRecord(number, {}, "sampler", records, outcome=outcome)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("done", "expected", "paused"),
    [
        (0, 2 + 4 / 3 + 12 / 9, None),
        (1, 1 + 4 / 3 + 12 / 9, None),
        (2, 4 + 12 / 3, 4 / 3 + 12 / 9),
        (17, 1, None),
        (18, 0, None),
    ],
)
def test_each_rung_lets_a_third_go_on(done: int, expected: float, paused: float | None) -> None:
    assert _remaining().expected_epochs(done) == pytest.approx(expected)
    assert _remaining(pauses=True).expected_epochs(done) == pytest.approx(expected if paused is None else paused)


def test_nothing_is_said_before_the_first_epoch() -> None:
    assert _remaining().seconds is None


def test_running_trials_and_those_to_come_count() -> None:
    remaining = _remaining()
    remaining.read([_trial(0, 2, "stopped"), _trial(1, 18, "complete"), _trial(2, 6)])
    to_begin = 7 * (2 + 4 / 3 + 12 / 9)
    assert remaining.seconds == pytest.approx((12 + to_begin) / 4 * 10.0)
    remaining.count_epoch(_trial(2, 7))
    assert remaining.seconds == pytest.approx((11 + to_begin) / 4 * 10.0)
    remaining.count_epoch(_trial(3, 1))  # a trial that was to come has begun
    assert remaining.seconds == pytest.approx((11 + to_begin - 1) / 4 * 10.0)
    remaining.count_end(_trial(2, 7, "failed"))
    assert remaining.seconds == pytest.approx((to_begin - 1) / 4 * 10.0)


def test_the_last_trials_do_not_share_the_other_workers() -> None:
    remaining = _remaining(requested=2)
    remaining.read([_trial(0, 18, "complete"), _trial(1, 6)])
    assert remaining.seconds == pytest.approx(120.0)
    remaining.count_end(_trial(1, 18, "complete"))
    assert remaining.seconds == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "1 min"), (89, "1 min"), (91, "2 min"), (5900, "98 min"), (6000, "1.7 h")]
)
def test_a_duration_is_said_with_little_precision(seconds: float, text: str) -> None:
    assert describe_duration(seconds) == text
