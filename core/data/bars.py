"""Bars of one symbol: read from a Parquet file and checked."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.config import canonical_interval
from core.data.file_format import (
    COMPLETE,
    FILE_NAME,
    REQUIRED,
    TAKER_FLOW,
    column_microseconds,
    foreign_format,
    import_remedy,
    interval_microseconds,
    level_columns,
    level_count,
    mid_price,
)
from core.data.instants import check_instants
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
        left_out: when the last bar of the files opens, in microseconds since 1970, if it is not in `frame` because it
            may not have closed when it was recorded; None if no bar was left out.
        reopenings: when the first bar after each closure of the market opens, int64 `[C]` in microseconds since 1970;
            None if the settings do not say that the market closes.
    """

    exchange: str
    symbol: str
    interval: str
    frame: pd.DataFrame
    named: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    left_out: int | None = None
    reopenings: np.ndarray | None = None

    @property
    def bar(self) -> int:
        """Length of a bar in microseconds."""
        return interval_microseconds(self.interval)

    @property
    def opened(self) -> np.ndarray:
        """When each bar opens, int64 `[T]` in microseconds since 1970."""
        return column_microseconds(self.frame["timestamp"])


def read_bar_file(path: Path, named: Sequence[str] = (), sparse: Sequence[str] = ()) -> Bars:
    """Read one file, check it, and drop its last bar unless the file says that this bar had closed.

    Args:
        path: bar or order-book file, see `core.data.file_format`.
        named: names or globs of additional columns to read as features.
        sparse: those of them that need not have a value in every row.

    Raises:
        DataError: the file is missing, misnamed or damaged; the message names the file, the row and the remedy.
    """
    return read_bar_files([path], named, sparse)[0]


def read_bar_files(paths: Sequence[Path], named: Sequence[str] = (), sparse: Sequence[str] = ()) -> list[Bars]:
    """Read bar files, check them, and join those of one symbol; see `read_bar_file`.

    Files of one exchange, symbol and interval, such as one file a day, are joined; where they overlap, they must agree.

    Args:
        paths: bar or order-book files, see `core.data.file_format`.
        named: names or globs of additional columns to read as features.
        sparse: those of them that need not have a value in every row.

    Returns:
        The bars of each symbol, in the order in which the symbols are first named.

    Raises:
        DataError: a file is missing, misnamed or damaged, or two files contradict each other.
    """
    files = []
    for path in paths:
        bars, complete = read_unchecked(path, named)
        check_rows(path, bars, sparse)
        files.append((bars, complete))
    return join_files(files)


def join_files(files: Sequence[tuple[Bars, bool]]) -> list[Bars]:
    """Join those files that hold bars of one symbol, and drop a last bar that may not have closed.

    Args:
        files: the bars of each file, which have no damage, and whether the last of them is known to have closed.

    Returns:
        The bars of each symbol, in the order in which the symbols are first named.

    Raises:
        DataError: two files contradict each other.
    """
    groups: dict[tuple[str, str, str], list[tuple[Bars, bool]]] = {}
    for bars, complete in files:
        groups.setdefault((bars.exchange, bars.symbol, bars.interval), []).append((_with_close(bars), complete))
    joined = []
    for parts in groups.values():
        bars = join_bars([part for part, _ in parts])
        # Only the last bar of all can have been open when its file was written: others follow on the rest.
        _, complete = max(parts, key=lambda part: (part[0].frame["timestamp"].iloc[-1], part[1]))
        if not complete:
            bars = replace(bars, frame=bars.frame.iloc[:-1], left_out=int(bars.opened[-1]))
        joined.append(bars)
    return joined


def check_rows(path: Path, bars: Bars, sparse: Sequence[str] = (), until: int | None = None) -> None:
    """Refuse damaged rows.

    Args:
        path: file that the bars were read from, for the message.
        bars: the bars of one file.
        sparse: names or globs of additional columns that need not have a value in every row.
        until: end of the rows that must be sound, in microseconds since 1970; None for all.

    Raises:
        DataError: a row is damaged; the message names the file, the row and the remedy.
    """
    problems = find_problems(bars.frame, bars.bar, match_columns(bars.named, sparse), until)
    if problems:
        first = problems[0]
        raise DataError(f"{path}: row {first.row} ({first.when}) {first.what}", first.remedy)


def _with_close(bars: Bars) -> Bars:
    """Return bars with a column `close`: that of a snapshot of an order book is its mid price."""
    if "close" in bars.frame:
        return bars
    close = pd.Series(mid_price(bars.frame), name="close")
    return replace(bars, frame=pd.concat([bars.frame, close], axis=1))


def join_bars(parts: Sequence[Bars]) -> Bars:
    """Join the bars of several files of one symbol, such as one file a month; columns that not all have are left out.

    Args:
        parts: bars of one exchange, symbol and interval, each in the order of time.

    Raises:
        DataError: two files have different bars for the same time.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    unshared = find_unshared(parts)
    shared = [name for name in first.frame.columns if name not in unshared]
    frame = pd.concat([_without_superseded_end(part, parts)[shared] for part in parts], ignore_index=True)
    frame = frame.sort_values("timestamp", kind="stable", ignore_index=True)
    repeats = frame["timestamp"].duplicated().to_numpy()
    values = frame[shared[1:]].to_numpy()
    earlier = values[np.flatnonzero(repeats) - 1]
    differing = ~np.isclose(values[repeats], earlier, rtol=1e-9, atol=0.0, equal_nan=True).all(axis=1)
    if differing.any():
        when = frame["timestamp"][repeats][differing].iloc[0]
        raise DataError(
            f"Two files have different bars of {first.symbol} at {when}", "Leave one of them out, or correct it"
        )
    return replace(
        first,
        frame=frame[~repeats].reset_index(drop=True),
        named=tuple(name for name in first.named if name in shared),
        ignored=tuple(sorted({name for part in parts for name in part.ignored})),
    )


def find_unshared(parts: Sequence[Bars]) -> dict[str, int]:
    """Return the columns that some of these bars have and others lack, and how many have each."""
    held = Counter(name for part in parts for name in part.frame.columns)
    return {name: count for name, count in held.items() if count < len(parts)}


def _without_superseded_end(part: Bars, parts: Sequence[Bars]) -> pd.DataFrame:
    """Return the frame of a part without its last bar, which may have been open, if a part that goes on has it, too."""
    last = part.frame["timestamp"].iloc[-1]
    others = [other.frame["timestamp"] for other in parts if other is not part]
    is_superseded = any(opened.iloc[-1] > last and bool((opened == last).any()) for opened in others)
    return part.frame.iloc[:-1] if is_superseded else part.frame


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
        if path.is_file() and (kind := foreign_format(path)):
            raise DataError(f"{path} is {kind}, not a Parquet file of bars", import_remedy(path))
        raise DataError(
            f"{path}: the file name does not give exchange, symbol and interval",
            "Name it like binance_BTCUSDT_5m.parquet",
        )
    schema = read_schema(path)
    standard = _standard_columns(path, schema.names)
    additional = [name for name in schema.names if name not in standard]
    chosen = match_columns(additional, named)
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
        canonical_interval(match["interval"]),
        pd.DataFrame(frame.astype(float_types)),
        tuple(chosen),
        tuple(name for name in additional if name not in chosen),
    )
    return bars, (schema.metadata or {}).get(COMPLETE) == b"true"


def match_columns(columns: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Return the columns that these names or globs mean, in the order of the columns.

    A pattern that is the name of a column means just that column, even if it holds characters of a glob, as in
    `funding[8h]`.
    """
    return [
        column
        for column in columns
        if any(column == pattern or (pattern not in columns and fnmatchcase(column, pattern)) for pattern in patterns)
    ]


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
        table = pq.read_table(path, columns=list(columns))
        # Column by column: a copy of all of them at once would double the memory.
        return pd.DataFrame(table.to_pandas(ignore_metadata=True, split_blocks=True, self_destruct=True))
    except (OSError, pa.ArrowException, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} does not exist", "Check the path")
    if path.is_file() and (kind := foreign_format(path)):
        return DataError(f"{path} is {kind}, not Parquet", import_remedy(path))
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
    check_instants(path, frame[timestamp])
    for name in numbers:
        if not pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
            raise DataError(f"{path}: column {name} is {frame[name].dtype}, not a number", "Write it as float64")


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
        if not match_columns(named, [pattern]):
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
    """Compute the SHA-256 of what the bars hold, whatever files they came in and in whatever order.

    Of a market that closes, it covers which of the gaps are closures, too: that depends on bars beside these.
    """
    digest = hashlib.sha256()
    for bars in sorted(all_bars, key=lambda item: item.symbol):
        digest.update(f"{bars.exchange} {bars.symbol} {bars.interval} {list(bars.frame.columns)}".encode())
        digest.update(np.ascontiguousarray(bars.opened, dtype="<i8").data)
        for name in bars.frame.columns[1:]:
            digest.update(np.ascontiguousarray(bars.frame[name].to_numpy(), dtype="<f8").data)
        if bars.reopenings is not None:
            digest.update(np.isin(bars.opened, bars.reopenings).tobytes())
    return digest.hexdigest()
