"""What can be wrong with a table of bars or order-book snapshots, and in which row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.data.file_format import PRICES, level_count, microseconds

ABSURD = 1e100
"""No price, volume or feature is larger; its square would still be a number."""


@dataclass(frozen=True)
class Problem:
    """One kind of damage.

    Attributes:
        row: first row that has it, from 0.
        when: that row's timestamp.
        what: what is wrong there, to follow 'row 3 (2024-…)'.
        cure: what to do about it.
        count: rows that have it.
    """

    row: int
    when: Any
    what: str
    cure: str
    count: int


def find_problems(frame: pd.DataFrame, seconds: int) -> list[Problem]:
    """Every kind of damage that would make a feature or a label lie.

    Args:
        frame: `timestamp` (UTC, none missing) and float64 columns.
        seconds: length of a bar.
    """
    found = []
    for bad, what, cure in _suspects(frame, seconds):
        rows = np.flatnonzero(bad)
        if len(rows):
            row = int(rows[0])
            found.append(Problem(row, frame["timestamp"].iloc[row], what, cure, len(rows)))
    return found


_Suspect = tuple[np.ndarray, str, str]
_REMOVE = "Remove the row: gaps are legal"


def _suspects(frame: pd.DataFrame, seconds: int) -> Iterator[_Suspect]:
    opened = microseconds(frame["timestamp"])
    step = np.diff(opened, prepend=opened[:1] - 1)
    yield step == 0, "repeats the timestamp before it", "Remove the duplicate"
    yield step < 0, "is older than the row before it", "Sort the file by timestamp"
    off_grid = opened % (seconds * 1_000_000) != 0
    yield off_grid, f"does not lie on the grid of {seconds} s", "Check the interval in the file's name, or resample"
    for name in frame.columns[1:]:
        values = frame[name].to_numpy()
        yield ~np.isfinite(values), f"has no finite {name}", _REMOVE
        yield np.isfinite(values) & (np.abs(values) > ABSURD), f"has an absurd {name}", _REMOVE
    for name in PRICES:
        if name in frame:
            yield (frame[name] <= 0).to_numpy(), f"has a {name} that is not positive", _REMOVE
    if set(PRICES) <= set(frame.columns):
        body = frame[["open", "close"]]
        impossible = (frame["high"] < body.max(axis=1)) | (frame["low"] > body.min(axis=1))
        yield impossible.to_numpy(), "has open or close outside of low to high", "Mend or remove the row"
    if "volume" in frame:
        yield (frame["volume"] < 0).to_numpy(), "has a negative volume", "Mend the row"
    yield from _flow_suspects(frame)
    yield from _book_suspects(frame)


def _flow_suspects(frame: pd.DataFrame) -> Iterator[_Suspect]:
    for name in ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote"):
        if name in frame:
            yield (frame[name] < 0).to_numpy(), f"has a negative {name}", "Mend the row"
    for part, whole in (("taker_buy_base", "volume"), ("taker_buy_quote", "quote_volume")):
        if part in frame and whole in frame:
            # Exchanges round both to a few digits.
            more = (frame[part] > frame[whole] * (1 + 1e-9) + 1e-9).to_numpy()
            yield more, f"has more {part} than {whole}", "Mend the row"


def _book_suspects(frame: pd.DataFrame) -> Iterator[_Suspect]:
    levels = level_count(list(frame.columns))
    if not levels:
        return
    crossed = frame["bid_px_1"] >= frame["ask_px_1"]
    yield crossed.to_numpy(), "has a bid at or above the ask", _REMOVE
    for side, outward in (("bid", -1), ("ask", 1)):
        prices = frame[[f"{side}_px_{level}" for level in range(1, levels + 1)]].to_numpy()
        sizes = frame[[f"{side}_sz_{level}" for level in range(1, levels + 1)]].to_numpy()
        yield np.any(prices <= 0, axis=1), f"has a {side} price that is not positive", _REMOVE
        yield np.any(sizes < 0, axis=1), f"has a negative {side} size", _REMOVE
        unsorted = np.any(np.diff(prices, axis=1) * outward < 0, axis=1)
        yield unsorted, f"has {side} levels out of order", "Sort the levels outward from the best"
