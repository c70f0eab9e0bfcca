"""Which bars follow each other: gaps, closures of a market that recur, and the filling of short gaps with flat bars."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from core.data.file_format import DAY, PRICES, TAKER_FLOW, Array, Columns

_HOUR = DAY // 24
_FLOW = ("volume", *TAKER_FLOW)
_MIN_OPENINGS = 3
"""Number of gaps that must end at about the same time of day for them to be closures."""
_MIN_OPENING_SHARE = 0.05
"""Share of the days that must have an opening at that time of day: one a week in most weeks, or more."""
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


def find_closures(timestamps: Array, bar: int) -> Array:
    """Find the rows with which a market opens again after a night, a weekend or a break that recurs.

    A gap is a closure if many gaps end at its time of day, give or take the hour by which clocks are changed. Where it
    begins does not matter, so that a holiday and an early close are closures, too.

    Args:
        timestamps: when each bar opens, rising, int64 `[T]` in microseconds since 1970.
        bar: length of a bar in microseconds.

    Returns:
        Whether each row is the first after a closure, bool `[T]`.
    """
    is_closure = np.zeros(len(timestamps), dtype=bool)
    lengths = np.diff(timestamps)
    ends = np.flatnonzero((lengths > bar) & (lengths <= _MAX_CLOSURE)) + 1
    if len(ends) == 0:
        return is_closure
    times, positions, counts = np.unique(timestamps[ends] % DAY, return_inverse=True, return_counts=True)
    openings = sum(_counts_at((times + shift) % DAY, times, counts) for shift in (-_HOUR, 0, _HOUR))
    days = np.ptp(timestamps) / DAY
    recurs = (openings >= _MIN_OPENINGS) & (openings >= _MIN_OPENING_SHARE * days)
    is_closure[ends] = recurs[positions]
    return is_closure


def _counts_at(wanted: Array, times: Array, counts: Array) -> Array:
    """Return the count of each wanted time in `times`, which rise; 0 where it does not occur."""
    positions = np.minimum(np.searchsorted(times, wanted), len(times) - 1)
    return np.where(times[positions] == wanted, counts[positions], 0)


def find_breaks(timestamps: Array, bar: int, sessions: bool) -> Array:
    """Find the rows that no window may reach across: those after a gap, or only after one that is not a closure.

    Args:
        timestamps: when each bar opens, rising, int64 `[T]` in microseconds since 1970.
        bar: length of a bar in microseconds.
        sessions: whether closures of the market that recur are no breaks.

    Returns:
        Whether each row begins a stretch, bool `[T]`; True for the first row.
    """
    gaps = find_gaps(timestamps, bar)
    return np.asarray(gaps & ~find_closures(timestamps, bar)) if sessions else gaps


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
