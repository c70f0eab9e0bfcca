"""Which bars follow each other: gaps, closures of a market that recur, and the filling of short gaps with flat bars."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from core.data.file_format import DAY, PRICES, TAKER_FLOW, Array, Columns

_HOUR = DAY // 24
_FLOW = ("volume", *TAKER_FLOW)
_WEEK = 7 * DAY
_MIN_SHARE = 0.6
"""Share of the days, or weeks, with bars that must have an opening at the same time for gaps to be closures."""
_MIN_OPENINGS = 3
"""Number of gaps that must end at the same time of day or week for them to be closures."""
_SHORT = 4
"""Number of missing bars up to which a closure is short: outages by chance may end at the same time of some days."""
_MIN_SHORT_OPENINGS = 10
"""Number of gaps that must end at the same time of day where the closure is short."""
_MIN_WEEKLY = DAY // 2
"""Lower limit of the time without bars of a closure that recurs only by the week, such as a weekend."""
_MIN_ALIKE = 0.5
"""Share of the gaps that end at one time which must be about as long as their median: by up to a half, or twice."""
_MAX_HOLIDAY = 6 * DAY
"""Upper limit of the time from the bar before a weekend with holidays to the bar after it, where bars last a day: five
days without a bar."""
_MAX_CLOSURE = 10 * DAY
"""Upper limit of a closure: a longer gap is an outage even if it ends when the market opens."""


def find_gaps(timestamps: Array, bar: int) -> Array:
    """Find the rows that do not follow right after the row before them.

    Args:
        timestamps: when each bar opens, rising, int64 `[T]` in microseconds since 1970.
        bar: length of a bar in microseconds.

    Returns:
        Whether bars are missing before each row, bool `[T]`; True for the first row.
    """
    return np.concatenate([np.ones(min(len(timestamps), 1), dtype=bool), np.diff(timestamps) != bar])


def find_reopenings(timestamps: Array, bar: int) -> Array:
    """Return when the first bar after each closure of the market opens, int64 `[C]`; see `find_closures`."""
    return np.asarray(timestamps[find_closures(timestamps, bar)])


def find_closures(timestamps: Array, bar: int) -> Array:
    """Find the rows with which a market opens again after a night, a weekend or a break that recurs.

    A gap is a closure if, at its time of day, give or take the hour by which clocks are changed, a gap ends on most of
    the days that have bars, or, for one of half a day or more, at its time of the week in most weeks; and if most of
    these gaps are about equally long. A longer gap that ends at such a time is a closure, too, such as a holiday; a
    much shorter one is not. Bars that are missing by chance in a market that never closes give no closure.

    The calendar of bars of a day or more is one of days: a holiday ends on any day of the week. Where weekends recur,
    every gap of up to five days is a closure, so that a day which is missing by chance is taken for a holiday.

    This estimates the calendar of a market, which is known in advance, from the times of bars alone: no price is read.
    Whether a gap recurs is seen from gaps before and after it, so all bars that are known have to be given: a part of
    them might have too few gaps.

    Args:
        timestamps: when each bar opens, rising, int64 `[T]` in microseconds since 1970.
        bar: length of a bar in microseconds.

    Returns:
        Whether each row is the first after a closure, bool `[T]`.
    """
    is_closure = np.zeros(len(timestamps), dtype=bool)
    lengths = np.diff(timestamps)
    rows = np.flatnonzero((lengths > bar) & (lengths <= _MAX_CLOSURE)) + 1
    if len(rows) == 0:
        return is_closure
    ends, lengths = timestamps[rows], lengths[rows - 1]
    is_long = lengths - bar >= _MIN_WEEKLY
    is_daily = _recurs(ends, lengths, DAY, _count_periods(timestamps, DAY), bar)
    is_weekly = np.zeros(len(rows), dtype=bool)
    is_weekly[is_long] = _recurs(ends[is_long], lengths[is_long], _WEEK, _count_periods(timestamps, _WEEK), bar)
    is_holiday = (lengths <= _MAX_HOLIDAY) & (bar >= DAY) & is_weekly.any()
    is_closure[rows] = is_daily | is_weekly | is_holiday
    return is_closure


def _count_periods(timestamps: Array, period: int) -> int:
    """Return how many days, or weeks, have a bar."""
    return len(np.unique(timestamps // period))


def _recurs(ends: Array, lengths: Array, period: int, periods: int, bar: int) -> Array:
    """Return whether each gap ends at a time of day, or of the week, at which a market opens, bool `[G]`.

    Args:
        ends: when the first bar after each gap opens, int64 `[G]`.
        lengths: time from the opening of the bar before each gap to that of the one after it, int64 `[G]`.
        period: a day or a week, in microseconds.
        periods: number of days or weeks that have bars.
        bar: length of a bar in microseconds.
    """
    times, positions, counts = np.unique(ends % period, return_inverse=True, return_counts=True)
    # Clocks are changed in one direction or the other, not in both.
    openings = counts + np.maximum(
        _counts_at((times - _HOUR) % period, times, counts), _counts_at((times + _HOUR) % period, times, counts)
    )
    recurs = np.zeros(len(ends), dtype=bool)
    for time in np.flatnonzero((openings >= _MIN_OPENINGS) & (openings >= _MIN_SHARE * (periods - 1))):
        here = positions == time
        near = np.isin((times[positions] - times[time]) % period, (0, _HOUR, period - _HOUR))
        usual = float(np.median(lengths[near]))
        is_alike = (lengths[near] >= usual / 2) & (lengths[near] <= usual * 2)
        needed = _MIN_SHORT_OPENINGS if usual <= (_SHORT + 1) * bar else _MIN_OPENINGS
        held = len(np.unique(ends[near] // period))  # a day on which two gaps end counts once
        if is_alike.mean() >= _MIN_ALIKE and held >= max(needed, _MIN_SHARE * (periods - 1)):
            recurs[here] = lengths[here] >= usual / 2
    return recurs


def _counts_at(wanted: Array, times: Array, counts: Array) -> Array:
    """Return the count of each wanted time in `times`, which rise; 0 where it does not occur."""
    if len(times) == 0:
        return np.zeros(len(wanted), dtype=int)
    positions = np.minimum(np.searchsorted(times, wanted), len(times) - 1)
    return np.where(times[positions] == wanted, counts[positions], 0)


def find_breaks(timestamps: Array, bar: int, reopenings: Array | None) -> Array:
    """Find the rows that no window may reach across: those after a gap, or only after one that is not a closure.

    Args:
        timestamps: when each bar opens, rising, int64 `[T]` in microseconds since 1970.
        bar: length of a bar in microseconds.
        reopenings: when the first bar after each closure of the market opens, as `find_reopenings` returns it for all
            bars that are known, of which these may be a part; None if the market does not close.

    Returns:
        Whether each row begins a stretch, bool `[T]`; True for the first row.
    """
    is_break = find_gaps(timestamps, bar)
    if reopenings is not None:
        is_break[1:] &= ~np.isin(timestamps[1:], reopenings)
    return is_break


def slices(starts: Array) -> list[slice]:
    """Return the rows from each start to the next, in order; `starts` is bool `[T]`, True for the first row."""
    edges = [*np.flatnonzero(starts).tolist(), len(starts)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def count_missing(timestamps: Array, bar: int, is_break: Array, limit: int) -> Array:
    """Count the bars missing before each row where a short gap can be filled.

    Args:
        timestamps: when each bar opens, rising, int64 `[T]` in microseconds since 1970.
        bar: length of a bar in microseconds.
        is_break: rows after a gap that may be filled, bool `[T]`.
        limit: number of missing bars up to which a gap is filled.

    Returns:
        Number of bars to fill in before each row, int64 `[T]`; 0 before the first row.
    """
    missing = np.diff(timestamps, prepend=timestamps[:1]) // bar - 1
    return np.where(is_break & (missing <= limit), np.maximum(missing, 0), 0)


def fill_flat(columns: Columns, bar: int, missing: Array) -> tuple[dict[str, Array], Array]:
    """Fill gaps with bars in which nothing was traded: flat at the last close, without volume.

    Other columns keep their last value.

    Args:
        columns: columns, each `[T]`, among them `timestamp` in microseconds since 1970.
        bar: length of a bar in microseconds.
        missing: number of bars to fill in before each row, int64 `[T]`.

    Returns:
        The columns, each `[T']`, and which of their rows were filled in, bool `[T']`.
    """
    if not missing.any():
        return dict(columns), np.zeros(len(missing), dtype=bool)
    # Each row is followed by the bars that are missing before the next one.
    copies = 1 + np.append(missing[1:], 0)
    source = np.repeat(np.arange(len(missing)), copies)
    is_filled = np.diff(source, prepend=-1) == 0
    since = np.arange(len(source)) - np.flatnonzero(~is_filled)[source]
    filled = {name: values[source] for name, values in columns.items()}
    filled["timestamp"] = filled["timestamp"] + since * bar
    for name in PRICES:
        if name in filled and name != "close":
            filled[name] = np.where(is_filled, filled["close"], filled[name])
    for name in _FLOW:
        if name in filled:
            filled[name] = np.where(is_filled, 0.0, filled[name])
    return filled, is_filled
