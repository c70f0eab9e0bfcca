"""Bars of one symbol: read from a Parquet file, checked, and cut to the span that all symbols share."""

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
    DAY,
    FILE_NAME,
    REQUIRED,
    TAKER_FLOW,
    column_microseconds,
    datetime_microseconds,
    interval_microseconds,
    iso,
    level_columns,
    level_count,
    mid_price,
)
from core.data.validation import find_problems
from core.errors import ConfigError, DataError


@dataclass(frozen=True)
class Bars:
    """The bars of one symbol.

    Attributes:
        exchange: exchange that recorded the bars.
        symbol: name of the symbol, for example BTCUSDT.
        interval: length of a bar, for example 5m.
        frame: one row per bar, in the order of time, on the grid of the interval and without duplicates; `timestamp`
            is in UTC, all other columns are float64.
        named: additional columns of `frame` that the settings name as features.
        ignored: additional columns of the file that the settings do not name; they are not in `frame`.
    """

    exchange: str
    symbol: str
    interval: str
    frame: pd.DataFrame
    named: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def bar(self) -> int:
        """Length of a bar in microseconds."""
        return interval_microseconds(self.interval)

    @property
    def opened(self) -> np.ndarray:
        """When each bar opens, int64 `[T]` in microseconds since 1970."""
        return column_microseconds(self.frame["timestamp"])


def read_bar_file(path: Path, named: Sequence[str] = ()) -> Bars:
    """Read one file, check it, and drop its last bar unless the file says that this bar had closed.

    Args:
        path: bar or order-book file, see `core.data.file_format`.
        named: names or globs of additional columns to read as features.

    Raises:
        DataError: the file is missing, misnamed or damaged; the message names the file, the row and the remedy.
    """
    bars, complete = read_unchecked(path, named)
    problems = find_problems(bars.frame, bars.bar)
    if problems:
        first = problems[0]
        raise DataError(f"{path}: row {first.row} ({first.when}) {first.what}", first.remedy)
    if "close" not in bars.frame:
        bars = replace(bars, frame=bars.frame.assign(close=mid_price(bars.frame)))
    return bars if complete else replace(bars, frame=bars.frame.iloc[:-1])


def read_unchecked(path: Path, named: Sequence[str] = ()) -> tuple[Bars, bool]:
    """Read one file without checking its rows.

    Args:
        path: bar or order-book file, see `core.data.file_format`.
        named: names or globs of additional columns to read as features.

    Returns:
        The bars, and whether the last of them is known to have closed.

    Raises:
        DataError: the file is missing, misnamed, not Parquet, or has too few rows or the wrong columns.
    """
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        raise DataError(
            f"{path}: the file name does not give exchange, symbol and interval",
            "Name it like binance_BTCUSDT_5m.parquet",
        )
    schema = read_schema(path)
    standard = _standard_columns(path, schema.names)
    additional = [name for name in schema.names if name not in standard]
    chosen = [name for name in additional if matches_any(name, named)]
    reserved = sorted({*REQUIRED, *TAKER_FLOW} & set(chosen))
    if reserved:
        raise DataError(
            f"{path}: the column(s) {', '.join(reserved)} cannot be named as features: these names are reserved",
            "Rename them in the file",
        )
    frame = read_columns(path, [*standard, *chosen])
    if len(frame) < 2:
        raise DataError(f"{path} holds {len(frame)} bars", "Provide at least two")
    check_types(path, frame, "timestamp", list(frame.columns[1:]))
    float_types: dict[str, str] = dict.fromkeys(frame.columns[1:], "float64")
    bars = Bars(
        match["exchange"],
        match["symbol"],
        match["interval"],
        pd.DataFrame(frame.astype(float_types)),
        tuple(chosen),
        tuple(name for name in additional if name not in chosen),
    )
    return bars, (schema.metadata or {}).get(COMPLETE) == b"true"


def matches_any(column: str, patterns: Sequence[str]) -> bool:
    """Return whether the name of a column matches one of these names or globs."""
    return any(fnmatchcase(column, pattern) for pattern in patterns)


def _standard_columns(path: Path, names: Sequence[str]) -> list[str]:
    """Return those columns of a file that `core.data.file_format` describes, in the order in which they are read.

    Raises:
        DataError: the file has neither bars nor an order book.
    """
    book = level_columns(level_count(names))
    missing = [name for name in REQUIRED if name not in names]
    if not missing:
        return [*REQUIRED, *(name for name in TAKER_FLOW if name in names), *book]
    if book and "timestamp" in names:
        return ["timestamp", *book]
    raise DataError(
        f"{path} lacks the column(s) {', '.join(missing)} (it has {', '.join(names)})",
        f"Rename or add them: a bar file holds {', '.join(REQUIRED)}, an order-book file {', '.join(level_columns(1))} "
        "and so on",
    )


def read_schema(path: Path) -> pa.Schema:
    """Read the names and types of the columns of a Parquet file, without a pandas index that has no name.

    Raises:
        DataError: the file is missing or not Parquet.
    """
    try:
        schema = pq.read_schema(path)
        kept = [field for field in schema if not field.name.startswith("__index_level_")]
        return pa.schema(kept, metadata=schema.metadata)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def read_columns(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read these columns of a Parquet file, in this order.

    Raises:
        DataError: the file is missing or not Parquet.
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
    """Refuse a timestamp that is not in UTC or is missing in a row, and a column of numbers that holds anything else.

    Args:
        path: file that the frame was read from, for the message.
        frame: table that was read from the file.
        timestamp: name of the column of timestamps.
        numbers: names of the columns that must hold numbers.

    Raises:
        DataError: a column has the wrong type; the message names it.
    """
    dtype = frame[timestamp].dtype
    if not isinstance(dtype, pd.DatetimeTZDtype) or str(dtype.tz) not in ("UTC", "+00:00", "Etc/UTC"):
        raise DataError(
            f"{path}: column {timestamp} is {dtype}, not a UTC timestamp", "Write it as timestamp with time zone UTC"
        )
    if frame[timestamp].isna().any():
        row = int(np.flatnonzero(frame[timestamp].isna())[0])
        raise DataError(f"{path}: row {row} has no {timestamp}", "Correct or remove the row")
    for name in numbers:
        if not pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
            raise DataError(f"{path}: column {name} is {frame[name].dtype}, not a number", "Write it as float64")


def split_at_gaps(timestamps: np.ndarray, bar: int) -> list[slice]:
    """Split rows into segments: the longest stretches without a missing bar.

    Args:
        timestamps: rising, int64 `[T]` in microseconds since 1970.
        bar: length of a bar in microseconds.

    Returns:
        The rows of each segment, in order.
    """
    breaks = np.flatnonzero(np.diff(timestamps) != bar) + 1
    edges = [0, *breaks.tolist(), len(timestamps)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def cut_to_common_span(all_bars: Sequence[Bars], days: float | None, until: datetime | None) -> list[Bars]:
    """Cut all symbols to the same span: the last `days` before `until`.

    Args:
        all_bars: bars of each symbol, all of one interval.
        days: length of the span in days; None for everything that all symbols cover.
        until: end of the span; None for the newest instant that all symbols cover.

    Raises:
        DataError: the symbols differ in interval, a symbol comes twice, or the bars do not cover the span.
    """
    intervals = sorted({bars.interval for bars in all_bars})
    if len(intervals) > 1:
        raise DataError(f"The files mix the intervals {', '.join(intervals)}", "Use files of one interval")
    symbols = [bars.symbol for bars in all_bars]
    repeated = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
    if repeated:
        raise DataError(f"{', '.join(repeated)} comes in more than one file", "Name each symbol once")

    first = max(int(bars.opened[0]) for bars in all_bars)
    last = min(int(bars.opened[-1]) for bars in all_bars) + all_bars[0].bar
    start, stop = resolve_span(first, last, days, until)
    return [_cut(bars, start, stop) for bars in all_bars]


def resolve_span(first: int, last: int, days: float | None, until: datetime | None) -> tuple[int, int]:
    """Compute the span that `days` and `until` ask for.

    Args:
        first: start of what all symbols cover, in microseconds since 1970.
        last: end of what all symbols cover, in microseconds since 1970.
        days: length of the span in days; None for everything from `first` on.
        until: end of the span; None for `last`.

    Returns:
        Start and end, in microseconds since 1970.

    Raises:
        DataError: the symbols do not cover the span.
    """
    start, end = first, last
    if until is not None:
        requested = datetime_microseconds(until)
        if requested <= start:
            raise DataError(f"The data begin at {iso(start)}, after --until {iso(requested)}", "Choose a later end")
        if requested > end:
            raise DataError(f"The data end at {iso(end)}, before --until {iso(requested)}", "Choose an earlier end")
        end = requested
    if days is not None:
        covered = max((end - start) / DAY, 0.0)
        if days > covered:
            raise DataError(
                f"The files have {covered:.1f} days in common before {iso(end)}, not the requested {days:g}",
                "Ask for fewer days, or provide more data",
            )
        start = end - round(days * DAY)
    if start >= end:
        raise DataError("The files have no time in common", "Use files that overlap in time")
    return start, end


def _cut(bars: Bars, start: int, stop: int) -> Bars:
    """Keep the bars that open and close within a span."""
    opened = bars.opened
    frame = bars.frame[(opened >= start) & (opened + bars.bar <= stop)].reset_index(drop=True)
    if frame.empty:
        raise DataError(
            f"{bars.symbol} has no bars from {iso(start)} to {iso(stop)}", "Choose another span, or drop the symbol"
        )
    return replace(bars, frame=frame)


def common_named_columns(all_bars: Sequence[Bars], patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the additional columns that are features of every symbol.

    Args:
        all_bars: bars of each symbol.
        patterns: names or globs that the settings give for additional features.

    Raises:
        ConfigError: a pattern matches no column, or a column that only some symbols have.
    """
    named = sorted({column for bars in all_bars for column in bars.named})
    for pattern in patterns:
        if not any(fnmatchcase(column, pattern) for column in named):
            ignored = sorted({column for bars in all_bars for column in bars.ignored})
            raise ConfigError(
                f"No column of the files matches features: {pattern}",
                f"Name additional columns that the files have: {', '.join(ignored) or 'there are none'}",
            )
    for bars in all_bars:
        missing = sorted(set(named) - set(bars.named))
        if missing:
            raise ConfigError(
                f"{bars.symbol} lacks the named feature(s) {', '.join(missing)}", "Name columns that every file has"
            )
    return tuple(named)


def bars_fingerprint(all_bars: Sequence[Bars]) -> str:
    """Compute the SHA-256 of what the bars hold, whatever files they came in and in whatever order."""
    digest = hashlib.sha256()
    for bars in sorted(all_bars, key=lambda item: item.symbol):
        digest.update(f"{bars.exchange} {bars.symbol} {bars.interval} {list(bars.frame.columns)}".encode())
        digest.update(bars.opened.astype("<i8").tobytes())
        for name in bars.frame.columns[1:]:
            digest.update(bars.frame[name].to_numpy().astype("<f8").tobytes())
    return digest.hexdigest()
