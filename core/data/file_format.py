"""The format of bar files: their names, columns, intervals and units."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import count, takewhile

import numpy as np
import pandas as pd

Array = np.ndarray
Columns = Mapping[str, Array]
"""Columns of a table by name, each `[T]`."""

PRICES = ("open", "high", "low", "close")
REQUIRED = ("timestamp", *PRICES, "volume")
TAKER_FLOW = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
EXCHANGE = "synthetic"
"""What the embedded market is called where the name of an exchange stands."""
COMPLETE = b"preset_search.complete"
"""Schema metadata of a file whose last bar is known to have closed."""
FILE_NAME = re.compile(
    r"(?:lob_)?(?P<exchange>[a-z0-9]+)_(?P<symbol>[A-Z0-9]+)(?:_top\d+)?_(?P<interval>[1-9]\d{0,3}[smhd])(?:_\d{8})?\.parquet"
)
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def interval_seconds(interval: str) -> int:
    """Seconds of an interval such as 1s, 5m, 1h, 1d."""
    return int(interval[:-1]) * _UNIT_SECONDS[interval[-1]]


def interval_text(seconds: int) -> str:
    """The shortest name of an interval of so many seconds; the other way round than `interval_seconds`."""
    unit = max((name for name, length in _UNIT_SECONDS.items() if seconds % length == 0), key=_UNIT_SECONDS.__getitem__)
    return f"{seconds // _UNIT_SECONDS[unit]}{unit}"


def microseconds(timestamps: pd.Series) -> np.ndarray:
    """UTC timestamps as int64 microseconds since 1970."""
    return timestamps.to_numpy("datetime64[us]").astype(np.int64)


def level_columns(levels: int) -> tuple[str, ...]:
    """The columns of the best levels."""
    return tuple(
        f"{side}_{kind}_{level}" for side in ("bid", "ask") for kind in ("px", "sz") for level in range(1, levels + 1)
    )


def level_count(columns: Sequence[str]) -> int:
    """How many levels the columns hold completely, from the best on."""
    names = set(columns)
    complete = takewhile(lambda level: set(level_columns(level)) <= names, count(1))
    return sum(1 for _ in complete)


def mid_price(columns: Columns | pd.DataFrame) -> Array:
    """Mean of the best bid and the best ask, `[T]`."""
    return np.asarray((columns["bid_px_1"] + columns["ask_px_1"]) / 2)


def iso(microseconds: int) -> str:
    """An instant in ISO 8601."""
    return pd.Timestamp(microseconds, unit="us", tz="UTC").isoformat()
