"""Bars: read from Parquet, checked, cut to one span common to all symbols.

File contract: `<exchange>_<SYMBOL>_<interval>.parquet` with the columns `timestamp` (UTC, bar
open), `open high low close volume`, and, where the exchange records it, the taker flow in
`quote_volume trades taker_buy_base taker_buy_quote`. Gaps are legal.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import DataError

PRICES = ("open", "high", "low", "close")
REQUIRED = ("timestamp", *PRICES, "volume")
TAKER_FLOW = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")
_FILE_NAME = re.compile(r"(?P<exchange>[a-z0-9]+)_(?P<symbol>[A-Z0-9]+)_(?P<interval>[1-9]\d*[mhd])\.parquet")
_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Bars:
    """The bars of one symbol: `frame` has a row a bar, ordered, without duplicates, on the grid.

    Its `timestamp` is in UTC; all other columns are float64.
    """

    exchange: str
    symbol: str
    interval: str
    frame: pd.DataFrame

    @property
    def seconds(self) -> int:
        """Length of a bar in seconds."""
        return interval_seconds(self.interval)


def interval_seconds(interval: str) -> int:
    """Seconds of an interval such as 5m, 1h, 1d."""
    return int(interval[:-1]) * _UNIT_SECONDS[interval[-1]]


def read(path: Path) -> Bars:
    """Read and check one bar file. Its last bar is dropped: nothing in the file says that it had closed.

    Raises:
        DataError: the file is missing, misnamed or damaged; names file, row and cure.
    """
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise DataError(
            f"{path}: the file's name does not tell exchange, symbol and interval",
            "Name it like binance_BTCUSDT_5m.parquet",
        )
    frame = _read_columns(path)
    bars = Bars(match["exchange"], match["symbol"], match["interval"], frame)
    _check(bars, str(path))
    return replace(bars, frame=bars.frame.iloc[:-1])


def _read_columns(path: Path) -> pd.DataFrame:
    try:
        names = pq.read_schema(path).names
        missing = [name for name in REQUIRED if name not in names]
        if missing:
            raise DataError(
                f"{path} lacks the column(s) {', '.join(missing)} (it has {', '.join(names)})",
                f"Rename or add them: a bar file holds {', '.join(REQUIRED)}",
            )
        frame = pq.read_table(path, columns=[*REQUIRED, *(n for n in TAKER_FLOW if n in names)]).to_pandas()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "Check the path") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read as Parquet ({' '.join(str(error).split())})", "Fetch or write the file again"
        ) from None
    dtype = frame["timestamp"].dtype
    if not isinstance(dtype, pd.DatetimeTZDtype) or str(dtype.tz) != "UTC":
        raise DataError(
            f"{path}: column timestamp is {dtype}, not a UTC timestamp", "Write it as timestamp with time zone UTC"
        )
    for name in frame.columns[1:]:
        if not pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
            raise DataError(f"{path}: column {name} is {frame[name].dtype}, not a number", "Write it as float64")
    numbers: dict[str, str] = dict.fromkeys(frame.columns[1:], "float64")
    return pd.DataFrame(frame.astype(numbers))


def _check(bars: Bars, where: str) -> None:
    """Refuse every kind of damage that would make a feature or a label lie."""
    frame = bars.frame
    if len(frame) < 2:
        raise DataError(f"{where} holds {len(frame)} bars", "Provide at least two")
    if frame["timestamp"].isna().any():
        row = int(np.flatnonzero(frame["timestamp"].isna())[0])
        raise DataError(f"{where}: row {row} has no timestamp", "Remove or mend the row")
    opened = microseconds(frame["timestamp"])
    step = np.diff(opened)

    def refuse(bad: np.ndarray, problem: str, cure: str, offset: int = 0) -> None:
        if bad.any():
            row = int(np.flatnonzero(bad)[0]) + offset
            raise DataError(f"{where}: row {row} ({frame['timestamp'].iloc[row]}) {problem}", cure)

    refuse(step == 0, "repeats the timestamp before it", "Remove the duplicate", offset=1)
    refuse(step < 0, "is older than the row before it", "Sort the file by timestamp", offset=1)
    refuse(
        opened % (bars.seconds * 1_000_000) != 0,
        f"does not lie on the {bars.interval} grid",
        "Check the interval in the file's name, or resample",
    )
    for name in frame.columns[1:]:
        refuse(~np.isfinite(frame[name].to_numpy()), f"has no finite {name}", "Remove the row: gaps are legal")
    for name in PRICES:
        refuse((frame[name] <= 0).to_numpy(), f"has a {name} that is not positive", "Remove the row: gaps are legal")
    refuse((frame["volume"] < 0).to_numpy(), "has a negative volume", "Mend the row")
    body_high = frame[["open", "close"]].max(axis=1)
    body_low = frame[["open", "close"]].min(axis=1)
    impossible = (frame["high"] < body_high) | (frame["low"] > body_low)
    refuse(impossible.to_numpy(), "has open or close outside of low to high", "Mend or remove the row")


def microseconds(timestamps: pd.Series) -> np.ndarray:
    """UTC timestamps as int64 microseconds since 1970."""
    return timestamps.to_numpy("datetime64[us]").astype(np.int64)


def segments(bars: Bars) -> list[slice]:
    """The rows of each stretch of bars without a gap, in order."""
    breaks = np.flatnonzero(np.diff(microseconds(bars.frame["timestamp"])) != bars.seconds * 1_000_000) + 1
    edges = [0, *breaks.tolist(), len(bars.frame)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def find_in_store(store: Path, symbols: Sequence[str], interval: str, exchange: str | None) -> list[Path]:
    """The store's file of each symbol.

    Raises:
        DataError: a file is missing, or several exchanges have one and none was chosen.
    """
    if not store.is_dir():
        raise DataError(
            f"The store {store} is not a folder", "Name one with --store DIR, or bar files with --data FILE…"
        )
    paths = []
    for symbol in symbols:
        found = sorted(
            path
            for path in store.glob(f"*_{symbol}_{interval}.parquet")
            if (match := _FILE_NAME.fullmatch(path.name))
            and match["symbol"] == symbol
            and exchange in (None, match["exchange"])
        )
        if not found:
            raise DataError(
                f"The store {store} has no {interval} bars of {symbol}{f' from {exchange}' if exchange else ''}",
                f"Put <exchange>_{symbol}_{interval}.parquet there (the store is only read; fetching from an "
                "exchange is not built yet), or name files with --data FILE…",
            )
        if len(found) > 1:
            raise DataError(
                f"The store {store} has {interval} bars of {symbol} from several exchanges: "
                + ", ".join(path.name for path in found),
                "Choose one with --exchange",
            )
        paths.append(found[0])
    return paths


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
    start = max(bars.frame["timestamp"].iloc[0] for bars in all_bars)
    end = min(bars.frame["timestamp"].iloc[-1] for bars in all_bars) + bar
    if until is not None:
        asked = pd.Timestamp(until if until.tzinfo else until.replace(tzinfo=UTC)).tz_convert("UTC")
        if asked > end:
            raise DataError(f"The data end at {end}, before --until {asked}", "Choose an earlier end")
        end = asked
    if days is not None:
        asked_start = end - pd.Timedelta(days=days)
        if asked_start < start:
            covered = max((end - start).total_seconds() / 86_400, 0.0)
            raise DataError(
                f"The files have {covered:.1f} days in common before {end}, not the {days:g} asked for",
                "Ask for fewer days, or provide more data",
            )
        start = asked_start
    if start >= end:
        raise DataError("The files have no time in common", "Use files that overlap in time")
    return [_cut(bars, start, end) for bars in all_bars]


def _cut(bars: Bars, start: pd.Timestamp, end: pd.Timestamp) -> Bars:
    opened = bars.frame["timestamp"]
    frame = bars.frame[(opened >= start) & (opened < end)].reset_index(drop=True)
    if frame.empty:
        raise DataError(f"{bars.symbol} has no bars from {start} to {end}", "Choose another span, or leave it out")
    return replace(bars, frame=frame)


def fingerprint(all_bars: Sequence[Bars]) -> str:
    """SHA-256 over what the bars say, whatever files they came in."""
    digest = hashlib.sha256()
    for bars in sorted(all_bars, key=lambda item: item.symbol):
        digest.update(f"{bars.exchange} {bars.symbol} {bars.interval} {list(bars.frame.columns)}".encode())
        digest.update(microseconds(bars.frame["timestamp"]).astype("<i8").tobytes())
        for name in bars.frame.columns[1:]:
            digest.update(bars.frame[name].to_numpy().astype("<f8").tobytes())
    return digest.hexdigest()
