"""Bars: read from Parquet, checked, cut to one span common to all symbols.

File contract: `<exchange>_<SYMBOL>_<interval>.parquet` with the columns `timestamp` (UTC, bar
open), `open high low close volume`, and, where the exchange records it, the taker flow in
`quote_volume trades taker_buy_base taker_buy_quote`. An order-book file
(`lob_<exchange>_<SYMBOL>_top20_1s_20180424.parquet`) has snapshots `bid_px_1 bid_sz_1 ask_px_1
ask_sz_1 …` instead; its close is the mid price. Further columns are read where they are named.
Gaps are legal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.data.file_format import (
    COMPLETE,
    FILE_NAME,
    REQUIRED,
    TAKER_FLOW,
    interval_seconds,
    level_columns,
    level_count,
    microseconds,
    mid_price,
)
from core.data.validation import find_problems
from core.errors import ConfigError, DataError


@dataclass(frozen=True)
class Bars:
    """The bars of one symbol: `frame` has a row a bar, ordered, without duplicates, on the grid.

    Its `timestamp` is in UTC; all other columns are float64.

    Attributes:
        exchange: where they were recorded.
        symbol: for example BTCUSDT.
        interval: for example 5m.
        frame: the rows.
        named: further columns in it that are features.
        ignored: further columns of the file, which are not read.
    """

    exchange: str
    symbol: str
    interval: str
    frame: pd.DataFrame
    named: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def seconds(self) -> int:
        """Length of a bar in seconds."""
        return interval_seconds(self.interval)


def read_bar_file(path: Path, named: Sequence[str] = ()) -> Bars:
    """Read and check one file. Its last bar is dropped, unless the file says that it had closed.

    Args:
        path: the file.
        named: further columns that are features, by name or glob.

    Raises:
        DataError: the file is missing, misnamed or damaged; names file, row and cure.
    """
    bars, complete = read_unchecked(path, named)
    problems = find_problems(bars.frame, bars.seconds)
    if problems:
        first = problems[0]
        raise DataError(f"{path}: row {first.row} ({first.when}) {first.what}", first.cure)
    if "close" not in bars.frame:
        bars = replace(bars, frame=bars.frame.assign(close=mid_price(bars.frame)))
    return bars if complete else replace(bars, frame=bars.frame.iloc[:-1])


def read_unchecked(path: Path, named: Sequence[str] = ()) -> tuple[Bars, bool]:
    """Read one file as it stands, and whether its last bar is known to have closed.

    Raises:
        DataError: the file is missing, misnamed, no Parquet, or has too few rows or wrong columns.
    """
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        raise DataError(
            f"{path}: the file's name does not tell exchange, symbol and interval",
            "Name it like binance_BTCUSDT_5m.parquet",
        )
    schema = read_schema(path)
    own = _own_columns(path, schema.names)
    further = [name for name in schema.names if name not in own]
    chosen = [name for name in further if is_named(name, named)]
    reserved = sorted({"seconds", *REQUIRED, *TAKER_FLOW} & set(chosen))
    if reserved:
        raise DataError(
            f"{path}: the column(s) {', '.join(reserved)} cannot be features by name, for the program uses the name(s)",
            "Rename them in the file",
        )
    frame = read_columns(path, [*own, *chosen])
    if len(frame) < 2:
        raise DataError(f"{path} holds {len(frame)} bars", "Provide at least two")
    check_types(path, frame, "timestamp", list(frame.columns[1:]))
    numbers: dict[str, str] = dict.fromkeys(frame.columns[1:], "float64")
    bars = Bars(
        match["exchange"],
        match["symbol"],
        match["interval"],
        pd.DataFrame(frame.astype(numbers)),
        tuple(chosen),
        tuple(name for name in further if name not in chosen),
    )
    return bars, (schema.metadata or {}).get(COMPLETE) == b"true"


def is_named(column: str, names: Sequence[str]) -> bool:
    """Whether a column is named by one of the names or globs."""
    return any(fnmatchcase(column, name) for name in names)


def _own_columns(path: Path, names: Sequence[str]) -> list[str]:
    """The columns of the file contract that a file has.

    Raises:
        DataError: it has neither bars nor an order book.
    """
    book = level_columns(level_count(names))
    missing = [name for name in REQUIRED if name not in names]
    if not missing:
        return [*REQUIRED, *(name for name in TAKER_FLOW if name in names), *book]
    if book and "timestamp" in names:
        return ["timestamp", *book]
    raise DataError(
        f"{path} lacks the column(s) {', '.join(missing)} (it has {', '.join(names)})",
        f"Rename or add them: a bar file holds {', '.join(REQUIRED)}, an order-book file bid_px_1, bid_sz_1, ask_px_1, "
        "ask_sz_1 and so on",
    )


def read_schema(path: Path) -> pa.Schema:
    """The columns of a Parquet file.

    Raises:
        DataError: it is missing, or no Parquet.
    """
    try:
        schema = pq.read_schema(path)
        # A pandas index without a name, written along.
        kept = [field for field in schema if not field.name.startswith("__index_level_")]
        return pa.schema(kept, metadata=schema.metadata)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def read_columns(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """These columns of a Parquet file, in this order.

    Raises:
        DataError: it is missing, or no Parquet.
    """
    try:
        return pd.DataFrame(pq.read_table(path, columns=list(columns)).to_pandas(ignore_metadata=True))
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} does not exist", "Check the path")
    return DataError(
        f"{path} cannot be read as Parquet ({' '.join(str(error).split())[:300]})", "Fetch or write the file again"
    )


def check_types(path: Path, frame: pd.DataFrame, timestamp: str, numbers: Sequence[str]) -> None:
    """Refuse a timestamp that is not in UTC or is missing in a row, and a number that is none.

    Raises:
        DataError: names the column.
    """
    dtype = frame[timestamp].dtype
    if not isinstance(dtype, pd.DatetimeTZDtype) or str(dtype.tz) not in ("UTC", "+00:00", "Etc/UTC"):
        raise DataError(
            f"{path}: column {timestamp} is {dtype}, not a UTC timestamp", "Write it as timestamp with time zone UTC"
        )
    if frame[timestamp].isna().any():
        row = int(np.flatnonzero(frame[timestamp].isna())[0])
        raise DataError(f"{path}: row {row} has no {timestamp}", "Remove or mend the row")
    for name in numbers:
        if not pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
            raise DataError(f"{path}: column {name} is {frame[name].dtype}, not a number", "Write it as float64")


def segments(timestamps: np.ndarray, seconds: int) -> list[slice]:
    """The rows of each stretch without a gap, in order.

    Args:
        timestamps: int64 `[T]`, rising, in epoch microseconds.
        seconds: length of a bar.
    """
    breaks = np.flatnonzero(np.diff(timestamps) != seconds * 1_000_000) + 1
    edges = [0, *breaks.tolist(), len(timestamps)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def common_span(all_bars: Sequence[Bars], days: float | None, until: datetime | None) -> list[Bars]:
    """Cut all symbols to the same instants: the last `days` before `until`.

    Args:
        all_bars: the bars of each symbol.
        days: length of the span; everything that all symbols cover if None.
        until: end of the span; by default the newest instant common to all.

    Raises:
        DataError: intervals or symbols clash, or the span is not covered.
    """
    intervals = sorted({bars.interval for bars in all_bars})
    if len(intervals) > 1:
        raise DataError(f"The files mix the intervals {', '.join(intervals)}", "Use files of one interval")
    symbols = [bars.symbol for bars in all_bars]
    twice = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
    if twice:
        raise DataError(f"{', '.join(twice)} comes in more than one file", "Name each symbol once")

    bar = pd.Timedelta(seconds=all_bars[0].seconds)
    first = max(bars.frame["timestamp"].iloc[0] for bars in all_bars)
    last = min(bars.frame["timestamp"].iloc[-1] for bars in all_bars) + bar
    start, end = resolve_span(first, last, days, until)
    return [_cut(bars, start, end) for bars in all_bars]


def resolve_span(
    first: pd.Timestamp, last: pd.Timestamp, days: float | None, until: datetime | None
) -> tuple[pd.Timestamp, pd.Timestamp]:
    """The span that `days` and `until` ask for, within what all symbols cover, from `first` to `last`.

    Raises:
        DataError: it is not covered.
    """
    start, end = first, last
    if until is not None:
        asked = pd.Timestamp(until).tz_convert("UTC")
        if asked <= start:
            raise DataError(f"The data begin at {start}, after --until {asked}", "Choose a later end")
        if asked > end:
            raise DataError(f"The data end at {end}, before --until {asked}", "Choose an earlier end")
        end = asked
    if days is not None:
        covered = max((end - start).total_seconds() / 86_400, 0.0)
        if days > covered:
            raise DataError(
                f"The files have {covered:.1f} days in common before {end}, not the {days:g} asked for",
                "Ask for fewer days, or provide more data",
            )
        start = end - pd.Timedelta(days=days)
    if start >= end:
        raise DataError("The files have no time in common", "Use files that overlap in time")
    return start, end


def _cut(bars: Bars, start: pd.Timestamp, end: pd.Timestamp) -> Bars:
    opened = bars.frame["timestamp"]
    closed = opened + pd.Timedelta(seconds=bars.seconds)
    frame = bars.frame[(opened >= start) & (closed <= end)].reset_index(drop=True)
    if frame.empty:
        raise DataError(f"{bars.symbol} has no bars from {start} to {end}", "Choose another span, or leave it out")
    return replace(bars, frame=frame)


def common_named(all_bars: Sequence[Bars], names: Sequence[str]) -> tuple[str, ...]:
    """The further columns that are features of every symbol.

    Raises:
        ConfigError: a name matches no column, or a column that only some symbols have.
    """
    found = sorted({column for bars in all_bars for column in bars.named})
    for name in names:
        if not any(fnmatchcase(column, name) for column in found):
            ignored = sorted({column for bars in all_bars for column in bars.ignored})
            raise ConfigError(
                f"No column of the files is named by features: {name}", f"There are: {', '.join(ignored) or 'none'}"
            )
    for bars in all_bars:
        missing = sorted(set(found) - set(bars.named))
        if missing:
            raise ConfigError(
                f"{bars.symbol} lacks the named feature(s) {', '.join(missing)}", "Name columns that every file has"
            )
    return tuple(found)


def bars_fingerprint(all_bars: Sequence[Bars]) -> str:
    """SHA-256 over what the bars say, whatever files they came in."""
    digest = hashlib.sha256()
    for bars in sorted(all_bars, key=lambda item: item.symbol):
        digest.update(f"{bars.exchange} {bars.symbol} {bars.interval} {list(bars.frame.columns)}".encode())
        digest.update(microseconds(bars.frame["timestamp"]).astype("<i8").tobytes())
        for name in bars.frame.columns[1:]:
            digest.update(bars.frame[name].to_numpy().astype("<f8").tobytes())
    return digest.hexdigest()
