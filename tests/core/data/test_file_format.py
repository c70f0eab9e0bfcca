from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.file_format import (
    DAY,
    SECOND,
    column_microseconds,
    datetime_microseconds,
    interval_microseconds,
    interval_text,
    iso,
    level_columns,
    level_count,
)


@pytest.mark.parametrize(
    ("interval", "length"), [("1s", SECOND), ("5m", 300 * SECOND), ("4h", 14_400 * SECOND), ("1d", DAY)]
)
def test_an_interval_has_a_length_and_a_shortest_name(interval: str, length: int) -> None:
    assert interval_microseconds(interval) == length
    assert interval_text(length) == interval


@given(count=st.integers(1, 9999), unit=st.sampled_from("smhd"))
def test_the_shortest_name_means_the_same_length(count: int, unit: str) -> None:
    length = interval_microseconds(f"{count}{unit}")
    shortest = interval_text(length)
    assert interval_microseconds(shortest) == length
    assert len(shortest) <= len(f"{count}{unit}")


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


def test_a_time_without_zone_is_in_utc(far_from_greenwich: None) -> None:
    instant = datetime(2024, 3, 1, 12, 30, 0, 7, tzinfo=UTC)
    assert datetime_microseconds(instant.replace(tzinfo=None)) == datetime_microseconds(instant)
    assert datetime_microseconds(instant.astimezone(timezone(timedelta(hours=9)))) == datetime_microseconds(instant)


@given(instant=st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_conversions_of_an_instant_agree(instant: datetime) -> None:
    microseconds = datetime_microseconds(instant)
    assert column_microseconds(pd.Series([pd.Timestamp(instant)])).tolist() == [microseconds]
    assert datetime.fromisoformat(iso(microseconds)) == instant


def test_levels_are_counted_as_far_as_they_are_complete() -> None:
    assert level_count(level_columns(7)) == 7
    assert level_count([*level_columns(5), "bid_px_7", "bid_sz_6", "close"]) == 5
    assert level_count(["close", "volume", "bid_px_1"]) == 0


def test_the_columns_of_a_level_are_named_by_side_kind_and_level() -> None:
    assert level_columns(2) == (
        *("bid_px_1", "bid_px_2", "bid_sz_1", "bid_sz_2"),
        *("ask_px_1", "ask_px_2", "ask_sz_1", "ask_sz_2"),
    )
