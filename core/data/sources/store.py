"""A store of bars: a folder of bar files, which of them a config means, and which bars are missing in them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.config import DEFAULT_EXCHANGE, DataConfig, canonical_interval
from core.data.bars import Bars, join_bars, read_unchecked
from core.data.file_format import (
    COMPLETE,
    DAY,
    FILE_NAME,
    column_microseconds,
    datetime_microseconds,
    interval_microseconds,
)
from core.data.sources.further_columns import attach_columns, split_columns
from core.data.validation import find_problems
from core.errors import ConfigError, DataError
from core.files import try_lock, writing

COVERED = b"preset_search.covered"
"""Schema metadata of a fetched file: the spans asked for, a JSON list of [start, end) in epoch milliseconds."""

TimeRange = tuple[int, int]
"""Start and end in microseconds since 1970; the end is not part of it."""
END_OF_TIME = 2**62
"""An instant in microseconds since 1970, later than any bar."""


@dataclass(frozen=True)
class FetchRange:
    """The bars of one symbol to be fetched from an exchange.

    Attributes:
        exchange: name of the exchange in ccxt.
        symbol: market, written like BTCUSDT.
        start: opening of the first bar, in microseconds since 1970.
        end: end of the last bar, in microseconds since 1970.
    """

    exchange: str
    symbol: str
    start: int
    end: int


def find_in_store(store: Path, symbols: Sequence[str], interval: str, exchange: str | None) -> list[Path]:
    """Find the store's file of each symbol.

    Args:
        store: folder of bar files.
        symbols: symbols to find, for example BTCUSDT.
        interval: length of a bar, for example 5m.
        exchange: exchange that the bars must come from; None for any.

    Raises:
        DataError: a symbol has no file, or several.
    """
    if not store.is_dir():
        raise DataError(
            f"The store {store} is not a folder", "Name one with --store DIR, or bar files with --data FILE…"
        )
    paths = []
    for symbol in symbols:
        path = find_file(store, symbol, interval, exchange)
        if path is None:
            raise DataError(
                f"The store {store} has no {interval} bars of {symbol}{f' from {exchange}' if exchange else ''}",
                f"Put <exchange>_{symbol}_{interval}.parquet there, fetch it (preset-search data fetch --symbols "
                f"{shlex.quote(symbol)} --interval {interval} --days N), or name files with --data FILE…",
            )
        paths.append(path)
    return paths


def find_file(store: Path, symbol: str, interval: str, exchange: str | None) -> Path | None:
    """Find the store's file of one symbol and interval; None if there is none.

    Args:
        store: folder of bar files, which need not exist.
        symbol: symbol to find, for example BTCUSDT.
        interval: length of a bar, for example 1h, which finds a file named 60m, too.
        exchange: exchange that the bars must come from; None for any.

    Raises:
        DataError: there are several files: of several exchanges, or of one exchange with the interval in two spellings.
    """
    found = {
        path: match["exchange"]
        for path in sorted(store.glob("*.parquet"))
        if (match := FILE_NAME.fullmatch(path.name))
        and match["symbol"] == symbol
        and canonical_interval(match["interval"]) == canonical_interval(interval)
        and exchange in (None, match["exchange"])
    }
    if len(found) > 1:
        exchanges = set(found.values())
        raise DataError(
            f"The store {store} has several files with {interval} bars of {symbol}: "
            + ", ".join(path.name for path in found),
            "Choose one with --exchange, or name it with --data FILE"
            if len(exchanges) == len(found)
            else "Keep one of each exchange in the store (preset-search data import adds the bars of another file to "
            "it), or name all with --data FILE…",
        )
    return next(iter(found), None)


def missing_ranges(config: DataConfig, now: int, *, up_to_now: bool = False) -> list[FetchRange]:
    """List the bars that a store lacks of the days that a config asks for.

    The days end at `until`, or, where every symbol has a file, at the newest instant common to all: a store that holds
    enough is not topped up just because time has passed, unless it shall reach up to now. A hole counts as missing
    unless the exchange was asked for it before, or the file was not made by fetching.

    Args:
        config: symbols, interval, days and store.
        now: present time, in microseconds since 1970.
        up_to_now: whether, without `until`, the days end at the last bar that has closed; without `days`, each file is
            then continued from its end.

    Raises:
        ConfigError: a symbol has no file, and no days say how much of it to fetch.
        DataError: a symbol has several files, of several exchanges or with the interval in two spellings.
    """
    held = {symbol: _read_held(config, symbol) for symbol in config.symbols}
    known = [item for item in held.values() if item is not None]
    bar = interval_microseconds(config.interval)
    closed = now // bar * bar
    if config.days is None:
        missing = [symbol for symbol, item in held.items() if item is None]
        if missing:
            raise ConfigError(
                f"The store {config.store} has no {config.interval} bars of {', '.join(missing)}",
                "Say how many days to fetch with --days N, or name files with --data FILE…",
            )
        if not up_to_now or config.until is not None:
            return []
        return [
            FetchRange(item.exchange, symbol, item.end, closed)
            for symbol, item in held.items()
            if item is not None and item.end < closed
        ]
    if config.until is not None:
        end = datetime_microseconds(config.until)
    elif up_to_now:
        end = closed
    else:
        end = min(item.end for item in known) if len(known) == len(held) else now
    start = end - round(config.days * DAY)
    default = config.exchange or DEFAULT_EXCHANGE
    return [
        FetchRange(item.exchange if item else default, symbol, start, end)
        for symbol, item in held.items()
        if item is None or not item.covers(start, end)
    ]


@dataclass(frozen=True)
class _Held:
    """What a store has of one symbol: its exchange, and the spans of which the exchange has no more bars."""

    exchange: str
    spans: tuple[TimeRange, ...]

    @property
    def end(self) -> int:
        """End of the last span, in microseconds since 1970."""
        return self.spans[-1][1]

    def covers(self, start: int, end: int) -> bool:
        """Return whether one of the spans contains everything from `start` to `end`."""
        return any(first <= start and end <= last for first, last in self.spans)


def _read_held(config: DataConfig, symbol: str) -> _Held | None:
    """Read what the store has of a symbol; None if it has no bar."""
    path = find_file(config.store, symbol, config.interval, config.exchange)
    if path is None:
        return None
    match = FILE_NAME.fullmatch(path.name)
    exchange = match["exchange"] if match else DEFAULT_EXCHANGE
    try:
        table = pq.read_table(path, columns=["timestamp"])
        opened = column_microseconds(pd.to_datetime(table.column("timestamp").to_pandas(), utc=True).dropna())
        metadata = table.schema.metadata or {}
        spans = read_covered(metadata)
    except (OSError, KeyError, ValueError, TypeError):
        # A damaged file counts as complete: reading it reports the damage, which fetching must not hide.
        return _Held(exchange, ((-END_OF_TIME, END_OF_TIME),))
    if spans:
        return _Held(exchange, tuple(sorted(spans)))
    if len(opened) == 0:
        return None
    # A file of unknown origin may end in a bar that had not closed, which the reader drops.
    bar = interval_microseconds(config.interval) if metadata.get(COMPLETE) == b"true" else 0
    return _Held(exchange, ((int(opened.min()), int(opened.max()) + bar),))


def read_covered(metadata: Mapping[bytes, bytes]) -> list[TimeRange]:
    """Read from a file's schema metadata which spans were asked for; empty if the file does not say.

    Raises:
        TypeError, ValueError: the metadata are damaged.
    """
    return [(int(start) * 1000, int(end) * 1000) for start, end in json.loads(metadata.get(COVERED, b"[]"))]


def covered_metadata(spans: Iterable[TimeRange]) -> dict[bytes, bytes]:
    """Return the schema metadata that say that these spans, on whole milliseconds, were asked for."""
    return {COVERED: json.dumps([(start // 1000, end // 1000) for start, end in spans]).encode()}


def merge_spans(spans: Iterable[TimeRange]) -> list[TimeRange]:
    """Cover the same instants with as few spans as possible, in order."""
    merged: list[TimeRange] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def check_symbol(symbol: str) -> None:
    """Refuse a symbol that cannot be part of the name of a file.

    Raises:
        DataError: the symbol holds more than capital letters and digits; the remedy proposes one.
    """
    if re.fullmatch("[A-Z0-9]+", symbol):
        return
    proposed = re.sub("[^A-Z0-9]", "", symbol.upper()) or "BTCUSDT"
    raise DataError(f"{symbol!r} is not a symbol", f"Write it like {proposed}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from writing the same file of a store. The lock file stays: removing it would race.

    Raises:
        ConfigError: another process is writing the file, or the store cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.with_name(f"{path.name}.lock").open("a")
    except OSError as error:
        raise ConfigError(f"{path.parent} cannot be written ({error.strerror})", "Choose another --store") from None
    with handle:
        if not try_lock(handle, path):
            raise ConfigError(
                f"{path} is being written by another process",
                "Run again when that process has ended: the file is continued from there",
            )
        yield


def add_to_store(
    store: Path,
    bars: Bars,
    spans: Sequence[TimeRange] | None = None,
    *,
    on_replaced: Callable[[int], None] = lambda opened: None,
) -> tuple[Path, Bars]:
    """Join bars with those that the store has of their exchange, symbol and interval, and write them.

    Further columns of the stored file keep their values and are missing in the bars that it did not have. What the file
    says of the spans that were fetched is kept, and the spans of the new bars are added to it. A last stored bar that
    may have been open when it was recorded is replaced, if the new bars have another with its time.

    Args:
        store: folder of bar files; it is created where it does not exist.
        bars: the bars, whose rows are checked here.
        spans: spans of which the bars are all that there are; None for the span from the first bar to the last.
        on_replaced: called, once the file is written, with the time at which a bar opens that was replaced, in
            microseconds since 1970.

    Returns:
        The file, and the bars that it holds now.

    Raises:
        DataError: the bars are damaged, contradict those of the store, or lack a column of bars that the store has, or
            the store has several files of them.
        ConfigError: the store cannot be written, or another process is writing the file.
    """
    check_symbol(bars.symbol)
    path = find_file(store, bars.symbol, bars.interval, bars.exchange)
    if path is None:
        _refuse_damaged(bars)  # before the store is created
        path = store / f"{bars.exchange}_{bars.symbol}_{canonical_interval(bars.interval)}.parquet"
    with locked(path):
        joined, replaced = _join_with_file(path, bars, spans)
    if replaced is not None:
        on_replaced(replaced)
    return path, joined


def _join_with_file(path: Path, bars: Bars, spans: Sequence[TimeRange] | None) -> tuple[Bars, int | None]:
    """Join bars with those of a file, which need not exist, and write it; the file must be locked.

    Returns:
        The bars that the file holds now, and when a bar opens that was replaced; None if none was.
    """
    held = [path] if path.exists() else []
    files = [read_unchecked(item) for item in held]
    replaced = next((_replaced_end(stored, bars) for stored, complete in files if not complete), None)
    joined = join_bars([bars, *(stored if replaced is None else _with_end_of(stored, bars) for stored, _ in files)])
    if lost := [name for stored, _ in files[:1] for name in stored.frame.columns if name not in joined.frame]:
        raise DataError(
            f"{path} has the column(s) {', '.join(lost)}, which would be lost, as the imported bars lack them",
            "Import into another folder with --store DIR",
        )
    _refuse_damaged(joined)
    last = int(joined.opened[-1])
    is_complete = any(complete and int(stored.opened.max()) == last for stored, complete in files)
    end = last + joined.bar if is_complete else last
    known = [span for item, (stored, _) in zip(held, files, strict=True) for span in _file_spans(item, stored)]
    known += [_whole_span(bars)] if spans is None else spans
    covered = [(first, min(stop, end)) for first, stop in merge_spans(known) if first < end]
    table = pa.Table.from_pandas(joined.frame, preserve_index=False)
    if held and split_columns(pq.read_schema(held[0]).names)[1]:
        table = attach_columns(table, pq.read_table(held[0]))
    metadata = {COMPLETE: b"true" if is_complete else b"false", **covered_metadata(covered)}
    # Floats take half the room with this encoding, as in `core.files.table_bytes`.
    floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    with writing(path) as temporary:
        pq.write_table(
            table.replace_schema_metadata(metadata),
            temporary,
            compression="zstd",
            use_dictionary=[name for name in table.column_names if name not in floats],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
        )
    return joined, replaced


def _replaced_end(stored: Bars, bars: Bars) -> int | None:
    """Return when the last of the stored bars opens if the new ones end with it, too, but differ; None if not."""
    last = int(stored.opened[-1])
    if int(bars.opened[-1]) != last:
        return None
    shared = [name for name in stored.frame.columns[1:] if name in bars.frame]
    before, after = (held.frame[shared].iloc[-1].to_numpy(float) for held in (stored, bars))
    return None if np.allclose(before, after, rtol=1e-9, atol=0.0, equal_nan=True) else last


def _with_end_of(stored: Bars, bars: Bars) -> Bars:
    """Return the stored bars with the last of the new ones in place of theirs, so that all before it must agree."""
    shared = [name for name in stored.frame.columns if name in bars.frame]
    end = bars.frame[shared].iloc[[-1]]
    return replace(stored, frame=pd.concat([stored.frame.iloc[:-1], end], ignore_index=True))


def _refuse_damaged(bars: Bars) -> None:
    """Refuse bars with a damaged row."""
    if problems := find_problems(bars.frame, bars.bar):
        first = problems[0]
        raise DataError(f"The bar of {first.when} {first.what}", first.remedy)


def _whole_span(bars: Bars) -> TimeRange:
    """Return the span from the first bar to the end of the last one."""
    return int(bars.opened.min()), int(bars.opened.max()) + bars.bar


def _file_spans(path: Path, bars: Bars) -> list[TimeRange]:
    """Return the spans that a file says were asked for; all that it holds if it does not say."""
    try:
        spans = read_covered(pq.read_schema(path).metadata or {})
    except (TypeError, ValueError):
        raise DataError(
            f"{path} does not say in a readable way what was fetched into it", "Move it away and import again"
        ) from None
    return spans or [_whole_span(bars)]
