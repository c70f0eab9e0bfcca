from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.config import DataConfig, SyntheticConfig
from core.files import write_table
from search.campaign.estimate import RemainingTime, describe_duration, describe_estimate
from search.campaign.plan import plan_campaign
from search.config import CampaignConfig
from search.results import tables
from search.results.folder import CURVES_FILE
from search.study.trial_record import TrialRecord
from tests.helpers.campaigns import begin_campaign
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


def test_before_the_first_epoch_the_speed_of_an_earlier_campaign_counts() -> None:
    remaining = _remaining(epoch_seconds=5.0)
    assert remaining.seconds == pytest.approx(10 * (2 + 4 / 3 + 12 / 9) / 4 * 5.0)
    remaining.count_epoch(_trial(0, 1))
    assert remaining.seconds == pytest.approx((10 * (2 + 4 / 3 + 12 / 9) - 1) / 4 * 10.0)


def test_a_budget_of_epochs_limits_what_is_to_come() -> None:
    remaining = _remaining(epochs=20, epoch_seconds=5.0)
    assert remaining.seconds == pytest.approx(20 / 4 * 5.0)
    running = _remaining(epochs=30)
    running.read([_trial(0, 6)])  # 6 epochs, and 12 more that it is expected to run: 12 are left
    assert running.seconds == pytest.approx((12 + 12) / 4 * 10.0)
    remaining.read([_trial(0, 18, "complete"), _trial(1, 17)])  # more than the budget: what has begun still ends
    assert remaining.seconds == pytest.approx(1 / 4 * 10.0)


def test_when_the_time_is_over_what_has_begun_still_ends() -> None:
    left = [60.0]
    remaining = _remaining(seconds_to_begin=lambda: left[0], requested=1000, epoch_seconds=10.0)
    one = (2 + 4 / 3 + 12 / 9) * 10.0
    assert remaining.seconds == pytest.approx(60 + one)
    left[0] = -5.0
    assert remaining.seconds == pytest.approx(one)
    assert _remaining(seconds_to_begin=lambda: 1e6, epoch_seconds=10.0).seconds == pytest.approx(10 * one / 4)


def test_an_estimate_is_given_before_the_start_if_there_was_a_campaign_like_it(tmp_path: Path) -> None:
    config = CampaignConfig(name="next", data=DataConfig(synthetic=SyntheticConfig(bars=5000)), ask=(), trials=100)
    plan = plan_campaign(config, tmp_path)
    assert describe_estimate(plan) is None
    folder = begin_campaign(plan_campaign(config.model_copy(update={"name": "before"}), tmp_path))
    write_table(folder / CURVES_FILE, tables.make_curves_table([_trial(0, 18)]))
    text = describe_estimate(plan)
    hours = 100 * (2 + 4 / 3 + 12 / 9) * 10 / plan.resources.max_concurrent / 3600
    assert text is not None
    assert text.startswith(f"The search takes about {describe_duration(hours * 3600)} if an epoch takes 10.0 s, as")
    assert "campaign before" in text
    limited = plan_campaign(config.model_copy(update={"hours": 0.05}), tmp_path)
    assert "about 4 min" in str(describe_estimate(limited))
