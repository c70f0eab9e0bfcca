"""The format of market data files: names, columns, order-book levels, intervals, and the unit of time.

A bar file is named `<exchange>_<SYMBOL>_<interval>.parquet`, for example `binance_BTCUSDT_5m.parquet`. It has the
columns `timestamp` (UTC, when the bar opens), `open high low close volume`, and, where the exchange records it, the
taker flow `quote_volume trades taker_buy_base taker_buy_quote`. An order-book file, for example
`lob_coinbase_BTCUSD_top20_1s_20180424.parquet`, has snapshots `bid_px_1… bid_sz_1… ask_px_1… ask_sz_1…` instead, level
1 being the best; the mid price is its close. Additional columns are read where the settings name them. Gaps are legal.

Time has one unit in all of `core.data`: an instant is an integer number of microseconds since 1970 in UTC, a length of
time is an integer number of microseconds. Other units stay at the edges: pandas timestamps in a frame as it is read,
`datetime` in the settings, milliseconds in what an exchange says (`core.data.sources.exchange`) and in the metadata of
a fetched file (`core.data.sources.store`).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, takewhile
from pathlib import Path

import numpy as np
import pandas as pd

from core.config import canonical_interval

Array = np.ndarray
Columns = Mapping[str, Array]
"""Columns of a table by name, each `[T]`; `timestamp` is in microseconds since 1970."""

SECOND = 1_000_000
DAY = 86_400 * SECOND

PRICES = ("open", "high", "low", "close")
REQUIRED = ("timestamp", *PRICES, "volume")
TAKER_FLOW = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
UNTRADED = "untraded"
"""Column of bars whose short gaps were filled: 1 in bars that were filled in, 0 in the others."""
SIDES = ("bid", "ask")
SYNTHETIC_EXCHANGE = "synthetic"
"""Name that stands for the exchange in bars of the embedded synthetic market."""
COMPLETE = b"preset_search.complete"
"""Schema metadata of a file whose last bar is known to have closed."""
FILE_NAME = re.compile(
    r"(?:lob_)?(?P<exchange>[a-z0-9]+)_(?P<symbol>[A-Z0-9]+)(?:_top\d+)?_(?P<interval>[1-9]\d{0,5}[smhd])(?:_\d{8})?\.parquet"
)
_UNITS = {"s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": DAY}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAGIC = {
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip file",
    b"ARROW1": "a Feather file",
    b"FEA1": "a Feather file",
}
"""What a file is by its first bytes."""


def interval_microseconds(interval: str) -> int:
    """Return the length in microseconds of an interval such as 1s, 5m, 1h, 1d.

    >>> interval_microseconds("5m")
    300000000
    """
    return int(interval[:-1]) * _UNITS[interval[-1]]


def interval_text(microseconds: int) -> str:
    """Return the shortest name of an interval of this length: the inverse of `interval_microseconds`.

    >>> interval_text(3_600_000_000)
    '1h'
    """
    return canonical_interval(f"{microseconds // SECOND}s")


def column_microseconds(timestamps: pd.Series) -> np.ndarray:
    """Convert a column of UTC timestamps to int64 microseconds since 1970, `[T]`."""
    return timestamps.to_numpy("datetime64[us]").astype(np.int64)


def datetime_microseconds(instant: datetime) -> int:
    """Convert a `datetime`, in UTC unless it names a zone, to microseconds since 1970."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def iso(microseconds: int) -> str:
    """Format an instant, given in microseconds since 1970, in ISO 8601."""
    return pd.Timestamp(microseconds, unit="us", tz="UTC").isoformat()


def price_column(side: str, level: int) -> str:
    """Return the order-book column of the price at a level of the bid or ask side; level 1 is the best."""
    return f"{side}_px_{level}"


def size_column(side: str, level: int) -> str:
    """Return the order-book column of the size offered at a level of the bid or ask side; level 1 is the best."""
    return f"{side}_sz_{level}"


def level_columns(levels: int) -> tuple[str, ...]:
    """Return the order-book columns of the best `levels` levels: each side's prices, then its sizes."""
    return tuple(
        column(side, level)
        for side in SIDES
        for column in (price_column, size_column)
        for level in range(1, levels + 1)
    )


def level_count(columns: Sequence[str]) -> int:
    """Count the order-book levels that these columns hold completely, from the best one on."""
    names = set(columns)
    complete = takewhile(lambda level: set(level_columns(level)) <= names, count(1))
    return sum(1 for _ in complete)


def mid_price(columns: Columns | pd.DataFrame) -> Array:
    """Return the mean of the best bid and the best ask price, `[T]`."""
    return np.asarray((columns[price_column("bid", 1)] + columns[price_column("ask", 1)]) / 2)


def foreign_format(path: Path) -> str:
    """Return what a file is by its first bytes, if `preset-search data import` may read it; empty if it is Parquet."""
    try:
        with path.open("rb") as file:
            start = file.read(200)
    except OSError:
        return ""
    known = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), "")
    if known or start.startswith(b"PAR1"):
        return known
    is_text = b"\0" not in start and b"\n" in start and b"," in start
    return ("a JSON file" if start.lstrip()[:1] in (b"[", b"{") else "a CSV file") if is_text else ""


def import_remedy(path: Path) -> str:
    """Return the command that imports a file, with what its name tells of exchange, symbol and interval.

    A file that is named like one of a store is imported into a folder beside it: in its own folder it stands where the
    import would write.
    """
    match = FILE_NAME.fullmatch(f"{path.name.partition('.')[0]}.parquet")
    exchange, symbol, interval = match.group("exchange", "symbol", "interval") if match else ("X", "S", "I")
    command = (
        f"Import it: preset-search data import {shlex.quote(str(path))} --exchange {exchange} --symbol {symbol} "
        f"--interval {interval}"
    )
    is_target = FILE_NAME.fullmatch(path.name) is not None
    return f"{command} --store {shlex.quote(str(path.parent / 'imported'))}" if is_target else command
