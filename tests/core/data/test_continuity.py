"""Gaps, closures that recur, and bars filled into short gaps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.tseries.holiday import USFederalHolidayCalendar

from core.data.continuity import (
    count_missing,
    fill_flat,
    find_breaks,
    find_closures,
    find_gaps,
    find_reopenings,
    slices,
)
from core.data.file_format import DAY, SECOND, column_microseconds
from tests.helpers.market import random_bars, without_rows

MINUTE = 60 * SECOND
BAR = 5 * MINUTE


def session_starts(first: str = "2024-02-01", days: int = 60, zone: str = "America/New_York") -> np.ndarray:
    """Return when the 5-minute bars of a stock open: 9:30 to 16:00 on weekdays, in microseconds since 1970."""
    dates = pd.bdate_range(first, periods=days, tz=zone)
    opened = [date + pd.Timedelta(hours=9, minutes=30 + 5 * bar) for date in dates for bar in range(78)]
    return column_microseconds(pd.Series(pd.to_datetime(opened, utc=True)))


@given(dropped=st.sets(st.integers(1, 38)))
def test_segments_tile_the_rows_and_contain_no_gap(dropped: set[int]) -> None:
    bars = without_rows(random_bars(40), np.array(sorted(dropped), dtype=int))
    rows = np.arange(len(bars.frame))
    segments = slices(find_gaps(bars.opened, bars.bar))
    assert np.array_equal(np.concatenate([rows[segment] for segment in segments]), rows)
    for segment in segments:
        assert (np.diff(bars.opened[segment]) == BAR).all()
    for before, after in pairwise(segments):
        assert bars.opened[after.start] - bars.opened[before.stop - 1] > BAR


def _breaks(opened: np.ndarray, bar: int) -> np.ndarray:
    """Return the breaks of a market that closes."""
    return find_breaks(opened, bar, find_reopenings(opened, bar))


def test_no_rows_have_no_gap() -> None:
    assert len(find_gaps(np.array([], dtype=np.int64), BAR)) == 0
    assert len(find_closures(np.array([], dtype=np.int64), BAR)) == 0


def test_nights_and_weekends_are_closures_also_where_clocks_change() -> None:
    opened = session_starts()  # clocks change on 10 March
    assert len(np.unique(opened[::78] % DAY)) == 2
    assert np.flatnonzero(find_closures(opened, BAR)).tolist() == list(range(78, len(opened), 78))
    assert _breaks(opened, BAR).sum() == 1
    assert find_breaks(opened, BAR, None).sum() == 60


def test_a_holiday_and_an_early_close_are_closures() -> None:
    opened = session_starts()
    early = np.delete(opened, np.r_[78 * 5 : 78 * 6, 78 * 20 + 40 : 78 * 21])
    assert _breaks(early, BAR).sum() == 1


def test_an_outage_within_a_session_and_a_late_opening_are_breaks() -> None:
    opened = session_starts()
    outage = np.delete(opened, np.r_[78 * 7 + 30 : 78 * 7 + 34])
    assert np.flatnonzero(_breaks(outage, BAR)).tolist() == [0, 78 * 7 + 30]
    late = np.delete(opened, np.r_[78 * 7 : 78 * 7 + 3])
    assert np.flatnonzero(_breaks(late, BAR)).tolist() == [0, 78 * 7]


def test_a_month_without_bars_is_a_break_even_if_it_ends_when_the_market_opens() -> None:
    opened = session_starts()
    absent = np.delete(opened, np.r_[78 * 10 : 78 * 30])
    assert np.flatnonzero(_breaks(absent, BAR)).tolist() == [0, 780]


def test_a_lunch_break_and_a_weekly_closure_are_closures() -> None:
    hours = np.arange(0, 24 * 7 * 10) * 60 * MINUTE
    lunch = hours[hours % DAY // (60 * MINUTE) != 12]
    assert _breaks(lunch, 60 * MINUTE).sum() == 1
    weekdays = hours[hours // DAY % 7 < 5]
    assert _breaks(weekdays, 60 * MINUTE).sum() == 1


@given(rows=st.lists(st.integers(1, 9000), min_size=1, max_size=20, unique=True))
def test_outages_of_a_market_that_never_closes_stay_breaks(rows: list[int]) -> None:
    opened = np.delete(np.arange(10_000) * BAR, rows)
    breaks = np.flatnonzero(find_gaps(opened, BAR))[1:]
    assert _breaks(opened, BAR)[breaks].all()


@pytest.mark.parametrize("share", [0.005, 0.05, 0.1])
@pytest.mark.parametrize(("minutes", "days"), [(1, 5), (5, 10), (5, 60), (60, 40), (60, 365), (1440, 730)])
def test_bars_missing_by_chance_in_a_market_that_never_closes_give_no_closures(
    share: float, minutes: int, days: int
) -> None:
    opened = column_microseconds(
        pd.Series(pd.date_range("2024-01-01", periods=days * 1440 // minutes, freq=f"{minutes}min", tz="UTC"))
    )
    for seed in range(3):
        held = opened[np.random.default_rng(seed).random(len(opened)) >= share]
        assert find_closures(held, minutes * MINUTE).sum() == 0


def test_outages_that_end_at_one_time_of_a_few_days_are_breaks() -> None:
    hours = np.arange(24 * 40) * 60 * MINUTE
    outages = [24 * day + hour for day in (5, 17, 30) for hour in range(2, 9)]
    assert find_closures(np.delete(hours, outages), 60 * MINUTE).sum() == 0


def test_gaps_of_all_lengths_that_end_at_one_time_are_breaks() -> None:
    hours = np.arange(24 * 40) * 60 * MINUTE
    outages = [24 * day + 23 - hour for day in range(39) for hour in range((1, 5, 22)[day % 3])]
    assert find_closures(np.delete(hours, outages), 60 * MINUTE).sum() == 0


def test_closures_are_found_beside_bars_that_are_missing_by_chance() -> None:
    opened = session_starts()
    held = opened[np.random.default_rng(0).random(len(opened)) >= 0.02]
    is_first = np.isin(held, opened[78::78])
    assert find_closures(held, BAR).sum() == is_first.sum() > 50
    assert find_closures(held, BAR)[is_first].all()


def test_short_gaps_are_filled_with_flat_bars_without_volume() -> None:
    bars = random_bars(10)
    part = without_rows(bars, np.array([3, 4, 8]))
    columns = {name: part.frame[name].to_numpy() for name in part.frame.columns[1:]} | {"timestamp": part.opened}
    missing = count_missing(part.opened, BAR, find_gaps(part.opened, BAR), 2)
    assert missing.tolist() == [0, 0, 0, 2, 0, 0, 1]
    filled, is_filled = fill_flat(columns, BAR, missing)
    assert np.flatnonzero(is_filled).tolist() == [3, 4, 8]
    assert np.array_equal(filled["timestamp"], bars.opened)
    for name in columns:
        assert np.array_equal(filled[name][~is_filled], columns[name])
    for name in ("open", "high", "low", "close"):
        assert filled[name][[3, 4]].tolist() == [columns["close"][2]] * 2
    for name in ("volume", "quote_volume", "trades", "taker_buy_base", "taker_buy_quote"):
        if name in filled:
            assert (filled[name][is_filled] == 0).all()


@pytest.mark.parametrize(("limit", "filled"), [(0, []), (1, [1]), (2, [2, 1])])
def test_longer_gaps_are_not_filled(limit: int, filled: list[int]) -> None:
    part = without_rows(random_bars(10), np.array([3, 4, 8]))
    missing = count_missing(part.opened, BAR, find_gaps(part.opened, BAR), limit)
    assert missing[missing > 0].tolist() == filled


def test_a_column_of_another_kind_keeps_its_last_value() -> None:
    columns = {"timestamp": np.array([0, 3 * BAR]), "close": np.array([1.0, 2.0]), "funding": np.array([0.1, 0.2])}
    filled, _ = fill_flat(columns, BAR, np.array([0, 2]))
    assert filled["funding"].tolist() == [0.1, 0.1, 0.1, 0.2]


def daily_starts(first: str = "1995-01-01", last: str = "2023-12-31") -> np.ndarray:
    """Return when the daily bars of a stock open: every weekday but holidays, which end on any day of the week."""
    dates = pd.bdate_range(first, last, tz="UTC").to_series()
    dates = dates[~dates.isin(USFederalHolidayCalendar().holidays(first, last).tz_localize("UTC"))]
    return column_microseconds(
        dates[~dates.between(pd.Timestamp("2001-09-11", tz="UTC"), pd.Timestamp("2001-09-14", tz="UTC"))]
    )


def test_holidays_of_daily_bars_are_closures_on_whatever_day_they_end() -> None:
    opened = daily_starts()
    assert np.flatnonzero(_breaks(opened, DAY)).tolist() == [0]
    outage = np.delete(opened, np.arange(3000, 3004))  # eight days without a bar, or more
    assert np.flatnonzero(_breaks(outage, DAY)).tolist() == [0, 3000]


def test_the_first_opening_after_clocks_change_is_a_closure() -> None:
    opened = session_starts("2024-01-02", days=50)  # the last day is the first after the change
    assert (opened[-78] - opened[-156]) % DAY == 23 * 60 * MINUTE
    assert _breaks(opened, BAR).sum() == 1
