"""Tests the span that all symbols share."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from core.data.bars import Bars
from core.data.file_format import DAY
from core.data.span import cut_to_common_span, cut_to_own_spans, describe_limit
from core.errors import DataError
from tests.helpers.market import random_bars, without_rows

DAY_OF_BARS = 288


def _three_days() -> list[Bars]:
    """BTC has bars 0 to 863, ETH starts 10 bars later and ends 20 bars earlier."""
    eth = random_bars(3 * DAY_OF_BARS, seed=1, symbol="ETHUSDT")
    return [random_bars(3 * DAY_OF_BARS), replace(eth, frame=eth.frame.iloc[10:-20])]


def _spans(all_bars: list[Bars]) -> set[tuple[pd.Timestamp, pd.Timestamp]]:
    return {(bars.frame["timestamp"].iloc[0], bars.frame["timestamp"].iloc[-1]) for bars in all_bars}


def test_symbols_are_cut_to_the_time_they_share() -> None:
    opened = random_bars(3 * DAY_OF_BARS).frame["timestamp"]
    assert _spans(cut_to_common_span(_three_days(), None, None)) == {(opened[10], opened[843])}


def test_days_are_counted_back_from_the_newest_common_instant() -> None:
    opened = random_bars(3 * DAY_OF_BARS).frame["timestamp"]
    cut = cut_to_common_span(_three_days(), 1.5, None)
    assert _spans(cut) == {(opened[844 - 432], opened[843])}
    assert {len(bars.frame) for bars in cut} == {432}


@pytest.mark.parametrize(
    "until",
    [
        datetime(2024, 3, 2, 12, tzinfo=UTC),
        datetime(2024, 3, 2, 14, tzinfo=timezone(timedelta(hours=2))),
    ],
    ids=["utc", "other zone"],
)
def test_the_span_ends_before_until(until: datetime) -> None:
    cut = cut_to_common_span(_three_days(), 1, until)
    assert _spans(cut) == {(pd.Timestamp("2024-03-01 12:00Z"), pd.Timestamp("2024-03-02 11:55Z"))}


@pytest.mark.parametrize("days", [3, 1e6, 1e9, 1e300])
def test_more_days_than_the_symbols_share_are_refused(days: float) -> None:
    with pytest.raises(DataError, match=r"have 2\.9 days in common") as caught:
        cut_to_common_span(_three_days(), days, None)
    assert "fewer days" in caught.value.remedy


def test_an_end_after_the_data_is_refused() -> None:
    with pytest.raises(DataError, match="before --until 2024-04-01"):
        cut_to_common_span(_three_days(), None, datetime(2024, 4, 1, tzinfo=UTC))


def test_an_end_before_the_data_is_refused() -> None:
    with pytest.raises(DataError, match="after --until 2020-01-01"):
        cut_to_common_span(_three_days(), None, datetime(2020, 1, 1, tzinfo=UTC))


def test_symbols_without_common_time_are_refused() -> None:
    early, late = random_bars(50), random_bars(100, symbol="ETHUSDT")
    late = replace(late, frame=late.frame.iloc[50:])
    with pytest.raises(DataError, match="no time in common"):
        cut_to_common_span([early, late], None, None)


def test_mixed_intervals_are_refused() -> None:
    with pytest.raises(DataError, match="mix the intervals 15m, 5m"):
        cut_to_common_span([random_bars(50), random_bars(50, symbol="ETHUSDT", interval="15m")], None, None)


def test_a_symbol_named_twice_is_refused() -> None:
    with pytest.raises(DataError, match="BTCUSDT comes in more than one file"):
        cut_to_common_span([random_bars(50), random_bars(50, seed=1)], None, None)


def test_a_span_that_lies_in_a_gap_is_refused() -> None:
    gapped = without_rows(random_bars(3 * DAY_OF_BARS), np.arange(100, 800))
    with pytest.raises(DataError, match="BTCUSDT has no bars from"):
        cut_to_common_span([gapped], 1, datetime(2024, 3, 3, 12, tzinfo=UTC))


def test_a_bar_that_closes_after_until_is_left_out() -> None:
    (cut,) = cut_to_common_span([random_bars(288)], None, datetime(2024, 3, 1, 12, 4, tzinfo=UTC))
    assert cut.frame["timestamp"].iloc[-1] == pd.Timestamp("2024-03-01 11:55Z")


@pytest.mark.parametrize("bars", range(1, 60, 7))
def test_a_fraction_of_a_day_that_is_a_number_of_bars_gives_these_bars(bars: int) -> None:
    (cut,) = cut_to_common_span([random_bars(DAY_OF_BARS)], bars / DAY_OF_BARS, None)
    assert len(cut.frame) == bars


def test_the_symbol_that_limits_the_common_time_is_named_with_what_leaving_it_out_gives() -> None:
    late = random_bars(4 * DAY_OF_BARS, symbol="NEWUSDT")
    all_bars = [
        random_bars(4 * DAY_OF_BARS),
        random_bars(4 * DAY_OF_BARS, symbol="ETHUSDT"),
        replace(late, frame=late.frame.iloc[3 * DAY_OF_BARS :]),
    ]
    with pytest.raises(DataError, match=r"NEWUSDT, whose bars are from .* is 1\.0 days, and 4\.0 days without NEWUSDT"):
        cut_to_common_span(all_bars, 2, None)
    early = replace(all_bars[2], frame=late.frame.iloc[:100])
    with pytest.raises(DataError, match=r"no time in common\. NEWUSDT, .* 0\.0 days, and 1\.0 days without NEWUSDT"):
        cut_to_common_span(
            [replace(all_bars[0], frame=late.frame.iloc[3 * DAY_OF_BARS :]), all_bars[1], early], None, None
        )


@pytest.mark.parametrize("spans", [{}, {"A": (0, 10)}, {"A": (0, 100), "B": (0, 100)}, {"A": (0, 100), "B": (5, 100)}])
def test_no_symbol_is_named_where_none_limits(spans: dict[str, tuple[int, int]]) -> None:
    assert describe_limit(spans) == ""


def _days(start: float, end: float) -> tuple[int, int]:
    return round(start * DAY), round(end * DAY)


def test_symbols_that_hide_each_other_are_named_together() -> None:
    late = {"OLD": _days(0, 31), "NEW": _days(22.3, 31), "BTC": _days(0, 31), "XYZ": _days(22, 31), "ETH": _days(0, 31)}
    assert describe_limit(late) == (
        "NEW, XYZ, which begin as late as 1970-01-23T07:12:00+00:00, limit the common time: it is 8.7 days, and 31.0 "
        "days without them"
    )
    assert "NEW, XYZ, which begin" in describe_limit({name: late[name] for name in ("OLD", "NEW", "XYZ")})
    ended = {name: _days(0, 31 - start / DAY) for name, (start, _) in late.items()}
    assert "NEW, XYZ, which end as early as 1970-01-09T16:48:00+00:00, limit" in describe_limit(ended)
    both = {"BTC": _days(0, 31), "NEW": _days(1.5, 31), "OLD": _days(0, 29.5)}
    assert describe_limit(both) == (
        "NEW, OLD, which begin as late as 1970-01-02T12:00:00+00:00 or end as early as 1970-01-30T12:00:00+00:00, "
        "limit the common time: it is 28.0 days, and 31.0 days without them"
    )


def test_of_many_symbols_that_limit_some_are_named() -> None:
    spans = {f"S{index:02}": _days(0 if index % 2 else 20, 31) for index in range(30)}
    assert ", S18 and 5 more, which begin" in describe_limit(spans)


def test_each_symbol_can_keep_its_own_newest_bar() -> None:
    btc, eth = _three_days()
    ends = [bars.frame["timestamp"].iloc[-1] for bars in (btc, eth)]
    cut = cut_to_own_spans([replace(btc, left_out=1), eth], 1, None)
    assert [bars.frame["timestamp"].iloc[-1] for bars in cut] == ends
    assert [len(bars.frame) for bars in cut] == [DAY_OF_BARS, DAY_OF_BARS]
    assert cut[0].left_out == 1
    until = datetime(2024, 3, 2, 12, tzinfo=UTC)
    cut = cut_to_own_spans([replace(btc, left_out=1), eth], 1, until)
    assert {bars.frame["timestamp"].iloc[-1] for bars in cut} == {pd.Timestamp("2024-03-02 11:55Z")}
    assert cut[0].left_out is None
    with pytest.raises(DataError, match=r"ETHUSDT: The files have 2\.9 days"):
        cut_to_own_spans([btc, eth], 3, None)
    with pytest.raises(DataError, match="comes in more than one file"):
        cut_to_own_spans([btc, btc], None, None)
