"""Completes bars where the settings say how: closures are marked, slow columns held, short gaps filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from core.data.bars import Bars, match_columns
from core.data.continuity import count_missing, fill_flat, find_breaks, find_reopenings
from core.data.file_format import PRICES, UNTRADED, interval_microseconds, iso
from core.errors import ConfigError, DataError


def mark_reopenings(bars: Bars) -> Bars:
    """Add to bars when the market opens again after each of its closures, see `core.data.continuity.find_closures`.

    Args:
        bars: all bars of a symbol that are known. The same gaps are closures whichever span they are cut to later.
    """
    opened = bars.opened if bars.left_out is None else np.append(bars.opened, bars.left_out)
    return replace(bars, reopenings=find_reopenings(opened, bars.bar))


def hold_columns(bars: Bars, holds: Mapping[str, str], until: int | None = None) -> Bars:
    """Carry the last value of slow columns forward, such as a funding rate that is known every eight hours.

    Bars before the first value of a column are left out: nothing was known of it then.

    Args:
        bars: bars with the columns, which are NaN where they have no value.
        holds: how long a value stays valid, as an interval such as 9h, by name or glob of the columns.
        until: end of the bars that need a value, in microseconds since 1970; None for all.

    Raises:
        DataError: a column has no value, or none for longer than it may be held.
    """
    frame, opened = bars.frame, bars.opened
    first = 0
    for pattern, hold in holds.items():
        for name in match_columns(bars.named, [pattern]):
            values = frame[name].to_numpy()
            newest = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(len(values))))
            start = int((newest < 0).sum())
            if start == len(values):
                raise DataError(f"{bars.symbol} has no value of {name}", "Fill the column, or do not name it")
            age = opened - opened[np.maximum(newest, 0)]
            is_outdated = (age > interval_microseconds(hold)) & (newest >= 0)
            outdated = np.flatnonzero(is_outdated if until is None else is_outdated & (opened < until))
            if len(outdated):
                row = int(outdated[0])
                since = pd.Timedelta(int(age[row]), unit="us")
                raise DataError(
                    f"{bars.symbol} at {iso(int(opened[row]))}: {name} has had no value for {since}, longer than the "
                    f"{hold} for which it is held ({len(outdated)} bars in all)",
                    "Fill the column, hold it longer if that is true to what was known, or use only the bars before "
                    "with --until",
                )
            frame = frame.assign(**{name: values[newest]})
            first = max(first, start)
    return replace(bars, frame=frame.iloc[first:].reset_index(drop=True))


def fill_untraded(bars: Bars, limit: int) -> Bars:
    """Fill short gaps with bars in which nothing was traded, and mark them in a column `untraded`.

    They are flat at the last close and have no volume; additional columns keep their last value. Closures of the market
    that are marked in the bars are no gaps.

    Args:
        bars: bars, which must have prices.
        limit: number of missing bars up to which a gap is filled.

    Raises:
        ConfigError: these are snapshots of an order book, which exist whether anything is traded or not.
    """
    if not set(PRICES) <= set(bars.frame.columns):
        raise ConfigError(
            f"The order book of {bars.symbol} has no untraded bars: it exists whether anything is traded or not",
            "Leave out fill_untraded",
        )
    opened = bars.opened
    missing = count_missing(opened, bars.bar, find_breaks(opened, bars.bar, bars.reopenings), limit)
    columns = {name: bars.frame[name].to_numpy() for name in bars.frame.columns[1:]} | {"timestamp": opened}
    filled, is_filled = fill_flat(columns, bars.bar, missing)
    filled[UNTRADED] = is_filled.astype(float)
    timestamps = pd.to_datetime(filled.pop("timestamp"), unit="us", utc=True)
    return replace(bars, frame=pd.DataFrame({"timestamp": timestamps, **filled}))
