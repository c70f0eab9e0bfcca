"""Checks of a table of bars or order-book snapshots: every kind of damage, and the first row that has it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.data.file_format import (
    PRICES,
    SECOND,
    SIDES,
    TAKER_FLOW,
    column_microseconds,
    interval_text,
    level_count,
    price_column,
    size_column,
)

ABSURD = 1e100
"""Upper limit of prices, volumes and features: the square of a larger value might not be a finite number."""


@dataclass(frozen=True)
class Problem:
    """One kind of damage in a table.

    Attributes:
        row: first row that has it, counted from 0.
        when: timestamp of that row.
        what: what is wrong with the row, worded to follow 'row 3 (2024-…)'.
        remedy: what to do about it, as a sentence without its full stop.
        count: number of rows that have it.
    """

    row: int
    when: Any
    what: str
    remedy: str
    count: int


def find_problems(
    frame: pd.DataFrame, bar: int, sparse: Collection[str] = (), until: int | None = None
) -> list[Problem]:
    """Find every kind of damage that would make a feature or a label wrong.

    Args:
        frame: table with a column `timestamp` (UTC, none missing) in front of float64 columns.
        bar: length of a bar in microseconds.
        sparse: columns that need not have a value in every row.
        until: rows after the last one that opens before this instant, in microseconds since 1970, are not examined;
            None to examine all.
    """
    if until is not None and len(before := np.flatnonzero(column_microseconds(frame["timestamp"]) < until)):
        frame = frame.iloc[: before[-1] + 1]
    problems = []
    for damaged, what, remedy in _checks(frame, bar, sparse):
        rows = np.flatnonzero(damaged)
        if len(rows):
            row = int(rows[0])
            problems.append(Problem(row, frame["timestamp"].iloc[row], what, remedy, len(rows)))
    return problems


_Check = tuple[np.ndarray, str, str]
"""Which rows are damaged, bool `[T]`; what is wrong with them; the remedy."""
_REMOVE = "Remove the row: gaps are legal"
_CORRECT = "Correct the row"
_ROUNDING = 1e-9
"""Difference, relative to the values, that rounding may make."""


_WINDOW = 60
"""Length in bars of the windows of which it is estimated how many are left, that of the settings by default."""
_MIN_WHOLE = 0.5
"""Share of the windows that must be left without a gap for the removal of rows to be advised."""
_MAX_REMOVED = 0.1
"""Share of the rows up to which their removal is advised where there are too few rows for such an estimate."""
_MAX_FILLED = 1000
"""Upper limit of the setting `fill_untraded`."""
_MIN_ON_GRID = 0.9
"""Share of the rows that must have one offset from the grid for it to be taken as that of all bars."""


def grid_offset(opened: np.ndarray, bar: int) -> int:
    """Return by how much the bars open after the multiples of their length, as daily bars that open at 05:00 UTC do.

    Args:
        opened: when each bar opens, int64 `[T]` in microseconds since 1970.
        bar: length of a bar in microseconds.

    Returns:
        The offset in microseconds that nearly all bars have; 0 if they have none in common.
    """
    if len(opened) == 0:
        return 0
    offsets = opened % bar
    # An offset that most bars have is their median, which is found without counting all offsets.
    median = int(np.partition(offsets, len(offsets) // 2)[len(offsets) // 2])
    return median if (offsets == median).mean() >= _MIN_ON_GRID else 0


def _run_lengths(flags: np.ndarray) -> np.ndarray:
    """Return the lengths of the runs of True, int64 `[R]`."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return np.asarray(edges[1::2] - edges[::2])


def _share_of_whole_windows(finite: np.ndarray) -> float:
    """Estimate which share of the windows is left without a gap if the rows without a value are removed."""
    if len(finite) < 2 * _WINDOW:
        return 1.0 if np.mean(~finite) <= _MAX_REMOVED else 0.0
    windows = np.maximum(_run_lengths(finite) - _WINDOW + 1, 0).sum()
    return float(windows / (len(finite) - _WINDOW + 1))


def _remedy_of_missing(name: str, finite: np.ndarray, opened: np.ndarray) -> str:
    """Return what to do about a column that is missing in some rows, which depends on how many they are."""
    share = float(1 - finite.mean()) if len(finite) else 0.0
    count = int(finite.sum())
    if name not in (*PRICES, "volume", *TAKER_FLOW) and 0 < count < len(finite) and finite[:count].all():
        return f"{name} ends there: fill it up to date in the file, or use only the bars before with --until"
    whole = _share_of_whole_windows(finite)
    if whole >= _MIN_WHOLE:
        return _REMOVE
    few = (
        f"Removing {share:.0%} of the rows alone would leave {whole:.0%} of the windows of {_WINDOW} bars without a gap"
    )
    if name in (*PRICES, "volume"):
        longest = min(int(_run_lengths(~finite).max()), _MAX_FILLED)
        return (
            f"{few}: remove them, and fill the gaps with untraded bars by --fill-untraded {longest} (fill_untraded: "
            f"{longest}), or use a longer interval"
        )
    if re.fullmatch(r"(?:bid|ask)_(?:px|sz)_\d+", name):
        return f"{few}: take the missing values from the snapshot before in the file, or use a longer interval"
    if name in TAKER_FLOW:
        return f"Leave {name} out of the file: it is missing in {share:.0%} of the rows"
    rows = np.flatnonzero(finite)
    if len(rows) < 2:
        return "Do not name it as a feature"
    hold = interval_text(int(np.diff(opened[rows]).max()) // SECOND * SECOND)
    every = np.median(np.diff(rows))
    return (
        f"It has a value in one of {every:.0f} bars. To carry each forward for as long as {hold}, write "
        f"features: {{{json.dumps(name)}: {{hold: {hold}}}}}"
    )


def _checks(frame: pd.DataFrame, bar: int, sparse: Collection[str]) -> Iterator[_Check]:
    """Yield every check, with the rows that fail it."""
    opened = column_microseconds(frame["timestamp"])
    step = np.diff(opened, prepend=opened[:1] - 1)
    yield step == 0, "repeats the timestamp before it", "Remove the duplicate"
    yield step < 0, "is older than the row before it", "Sort the file by timestamp"
    off_grid = f"is not on the {interval_text(bar)} grid"
    yield opened % bar != grid_offset(opened, bar), off_grid, "Check the interval in the file name, or resample"
    for name in frame.columns[1:]:
        values = frame[name].to_numpy()
        finite = ~np.isinf(values) if name in sparse else np.isfinite(values)
        yield ~finite, f"has no finite {name}", _remedy_of_missing(name, finite, opened)
        yield np.isfinite(values) & (np.abs(values) > ABSURD), f"has an absurd {name}", _REMOVE
    for name in PRICES:
        if name in frame:
            yield (frame[name] <= 0).to_numpy(), f"has a non-positive {name}", _REMOVE
    if set(PRICES) <= set(frame.columns):
        opening, high, low, close = (frame[name].to_numpy() for name in PRICES)
        # Prices that were computed, such as adjusted ones, are equal only up to rounding.
        with np.errstate(over="ignore"):
            too_low = high < np.fmax(opening, close) * (1 - _ROUNDING)
            impossible = too_low | (low > np.fmin(opening, close) * (1 + _ROUNDING))
        yield impossible, "has open or close outside low to high", "Correct or remove the row"
    if "volume" in frame:
        yield (frame["volume"] < 0).to_numpy(), "has a negative volume", _CORRECT
    yield from _flow_checks(frame)
    yield from _book_checks(frame)


def _flow_checks(frame: pd.DataFrame) -> Iterator[_Check]:
    for name in TAKER_FLOW:
        if name in frame:
            yield (frame[name] < 0).to_numpy(), f"has a negative {name}", _CORRECT
    for part, whole in (("taker_buy_base", "volume"), ("taker_buy_quote", "quote_volume")):
        if part in frame and whole in frame:
            # Exchanges round both to a few digits.
            more = (frame[part] > frame[whole] * (1 + _ROUNDING) + _ROUNDING).to_numpy()
            yield more, f"has more {part} than {whole}", _CORRECT


def _book_checks(frame: pd.DataFrame) -> Iterator[_Check]:
    levels = level_count(list(frame.columns))
    if not levels:
        return
    crossed = frame[price_column("bid", 1)] >= frame[price_column("ask", 1)]
    yield crossed.to_numpy(), "has a bid at or above the ask", _REMOVE
    for side, outward in zip(SIDES, (-1, 1), strict=True):
        prices = frame[[price_column(side, level) for level in range(1, levels + 1)]].to_numpy()
        sizes = frame[[size_column(side, level) for level in range(1, levels + 1)]].to_numpy()
        yield np.any(prices <= 0, axis=1), f"has a non-positive {side} price", _REMOVE
        yield np.any(sizes < 0, axis=1), f"has a negative {side} size", _REMOVE
        unsorted = np.any(np.diff(prices, axis=1) * outward < 0, axis=1)
        yield unsorted, f"has {side} levels out of order", "Sort the levels outward from the best"
