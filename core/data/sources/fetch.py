"""Fetching bars from an exchange into a store: only what is missing, page by page, resumable.

A file written by this module says in its Parquet metadata that its last bar had closed (`preset_search.complete`) and
which spans were asked for (`preset_search.covered`), so that a hole which an outage left at the exchange is not asked
for again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.markup import escape
from rich.progress import TaskID

from core import console
from core.config import DataConfig, canonical_interval
from core.data.file_format import (
    COMPLETE,
    REQUIRED,
    column_microseconds,
    datetime_microseconds,
    interval_microseconds,
    iso,
)
from core.data.sources.exchange import ExchangeClient, Row
from core.data.sources.further_columns import attach_columns, describe_ends, split_columns
from core.data.sources.store import (
    COVERED,
    END_OF_TIME,
    FetchRange,
    TimeRange,
    check_symbol,
    covered_metadata,
    find_file,
    locked,
    merge_spans,
    missing_ranges,
    read_covered,
)
from core.errors import ConfigError, DataError
from core.files import writing


def fetch_missing(config: DataConfig, now: int | None = None, *, up_to_now: bool = False) -> None:
    """Fetch what the store lacks of the days that a config asks for, unless the config is offline.

    Args:
        config: the days, and the store.
        now: present time, in microseconds since 1970; None for that of this machine.
        up_to_now: whether the days end now, and not where the store does, unless the config says when they end.

    Raises:
        ConfigError: the config does not say how much to fetch, or the exchange or the store cannot be used.
        DataError: the exchange cannot be reached, or does not have the bars.
    """
    if config.offline or not config.symbols:
        return
    now = datetime_microseconds(datetime.now(UTC)) if now is None else now
    ranges = missing_ranges(config, now, up_to_now=up_to_now)
    if not ranges:
        return
    try:
        fetch_ranges(config.store, config.interval, ranges)
    except (ConfigError, DataError) as error:
        if not up_to_now or "--offline" in error.remedy:
            raise
        remedy = f"{error.remedy}; or use what the store has with --offline"
        raise type(error)(error.what, remedy) from None


def fetch_ranges(store: Path, interval: str, ranges: Sequence[FetchRange]) -> list[Path]:
    """Fetch parts of symbols' histories into a store, show a progress bar for each, and say how many bars are there.

    Args:
        store: folder of bar files.
        interval: length of a bar, for example 5m.
        ranges: symbols and spans to fetch, with their exchanges.

    Returns:
        The file of each range.

    Raises:
        ConfigError: the exchange, the interval or the store cannot be used.
        DataError: the exchange cannot be reached, or does not have the bars.
    """
    paths = []
    with console.progress_bar() as bar:
        clients = {exchange: ExchangeClient(exchange) for exchange in sorted({item.exchange for item in ranges})}
        for item in ranges:
            task = bar.add_task(f"fetching {item.symbol} {interval} from {item.exchange}", total=None)

            def show(done: int, total: int, task: TaskID = task) -> None:
                bar.update(task, completed=done, total=total)

            client = clients[item.exchange]
            paths.append(fetch_bars(store, client, item.symbol, interval, item.start, item.end, on_progress=show))
    for item, path in zip(ranges, paths, strict=True):
        console.err.print(escape(_describe_completeness(item, path, interval_microseconds(interval))))
        for sentence in describe_ends(path):
            console.err.print(escape(sentence))
    return paths


def _describe_completeness(item: FetchRange, path: Path, bar: int) -> str:
    """Say how many of the requested bars a file has, and from when to when."""
    opened = column_microseconds(pq.read_table(path, columns=["timestamp"]).to_pandas()["timestamp"])
    held = opened[(opened >= item.start) & (opened < item.end)]
    span = f" from {iso(int(held[0]))} to {iso(int(held[-1]) + bar)}" if len(held) else ""
    text = f"{item.symbol}: {len(held):,} of {-(-(item.end - item.start) // bar):,} bars{span}"
    if len(held) and held[0] - item.start >= bar * _LATE_BARS:
        text += f"; {item.exchange} gave none before, as it may keep only the newest ones or have listed it later"
    return text


_LATE_BARS = 10
"""Number of missing bars at the beginning of a fetched span from which the reader is told of them."""
_PAGES_PER_WRITE = 50  # some seconds of fetching; writing millions of bars takes two


class _BarFile:
    """One file of a store: its bars, those fetched since it was written, and the spans that were asked for.

    Further columns of the file are kept for the bars that it has, and are missing in the others. A last bar that may
    have been open when it was written is kept as such until it is fetched again, or later bars are.

    Args:
        path: the file, which need not exist.
        offered: columns that the exchange offers.
        bar: length of a bar in microseconds.

    Raises:
        DataError: the file exists and cannot be continued.
    """

    def __init__(self, path: Path, offered: Sequence[str], bar: int) -> None:
        self.path = path
        self.bar = bar
        self.covered: list[TimeRange] = []
        self._offered = list(offered)
        self._columns = self._offered
        self._frame = pd.DataFrame(columns=self._columns)
        self._open = self._frame
        self._held: pa.Table | None = None
        self._new: list[Row] = []
        self._changed = False
        if path.exists():
            self._read()

    def _read(self) -> None:
        try:
            table = pq.read_table(self.path)
            metadata = table.schema.metadata or {}
            names, further = split_columns(table.column_names)
            if not set(REQUIRED) <= set(names) <= set(self._offered):
                columns = ", ".join(table.column_names)
                raise ValueError(f"it has the columns {columns}, the exchange {', '.join(self._offered)}")
            bars = table.select(names).cast(_schema(names))
            self._held = table.select(further).append_column("timestamp", bars.column("timestamp"))
            frame = bars.to_pandas()
            frame["timestamp"] = column_microseconds(frame["timestamp"])
            if metadata.get(COMPLETE) != b"true":
                frame, self._open = frame.iloc[:-1], frame.iloc[-1:]
            if COVERED in metadata:
                self.covered = merge_spans(read_covered(metadata))
        except (OSError, pa.ArrowException, TypeError, ValueError) as error:
            raise DataError(
                f"{self.path} cannot be continued ({' '.join(str(error).split())})",
                "Move it away and fetch again, or fetch into another --store",
            ) from None
        if not self.covered and len(frame):
            self.covered = [(int(frame["timestamp"].min()), int(frame["timestamp"].max()) + self.bar)]
        # A file that was begun without the taker flow is continued without it.
        self._frame, self._columns = frame, names

    @property
    def empty(self) -> bool:
        """Whether the file has no bar, neither written nor new."""
        return self._frame.empty and not self._new

    def add(self, rows: list[Row], span: TimeRange) -> None:
        """Add the bars of a span, which are all that the exchange has of it."""
        self._new += rows
        self._changed = True
        if span[0] < span[1]:
            self.covered = merge_spans([*self.covered, span])

    def save(self) -> None:
        """Write the file, whole or not at all, if anything has been added since it was read or written.

        The time after the newest bar is not marked as fetched, because bars may be published late.
        """
        if self.empty or not self._changed:
            return
        new = pd.DataFrame(self._new, columns=self._offered)[self._columns]
        frame = pd.concat([part for part in (self._frame, new) if len(part)])
        self._frame = frame.drop_duplicates("timestamp").sort_values("timestamp", ignore_index=True)
        self._new = []
        end = int(self._frame["timestamp"].iloc[-1]) + self.bar
        covered = [(start, min(stop, end)) for start, stop in self.covered if start < end]
        is_open = len(self._open) > 0 and self._open["timestamp"].iloc[0] >= end
        frame = pd.concat([self._frame, self._open]) if is_open else self._frame
        frame = frame.assign(timestamp=pd.to_datetime(frame["timestamp"], unit="us", utc=True))
        schema = _schema(self._columns, {COMPLETE: b"false" if is_open else b"true", **covered_metadata(covered)})
        table = pa.Table.from_pandas(frame, preserve_index=False).cast(schema)
        with writing(self.path) as temporary:
            pq.write_table(table if self._held is None else attach_columns(table, self._held), temporary)
        self._changed = False


def fetch_bars(
    store: Path,
    client: ExchangeClient,
    symbol: str,
    interval: str,
    since: int,
    until: int | None = None,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Make sure that the store has the bars from `since` to `until`, as far as the exchange has them.

    Args:
        store: folder of bar files; it is created where it does not exist.
        client: exchange to fetch from; one client serves many symbols.
        symbol: market, written like BTCUSDT; see `ExchangeClient.market`.
        interval: length of a bar, for example 5m, 1h, 1d.
        since: opening of the first bar, in microseconds since 1970.
        until: end of the last bar, in microseconds since 1970; the last bar that has closed if None or later than that.
        on_progress: called with the number of bars covered so far and in all, before the first page and after each.

    Returns:
        The file.

    Raises:
        ConfigError: the interval, span or store cannot be used, or another process is fetching the same file.
        DataError: there is no such symbol, there are no bars, the file cannot be continued, the store has several files
            of these bars, or the exchange cannot be reached, refuses or keeps failing; what was fetched before that is
            kept.
    """
    client.check_interval(interval)
    bar = interval_microseconds(interval)
    # Widened to whole bars.
    span = (since // bar * bar, END_OF_TIME if until is None else -(-until // bar) * bar)
    if span[0] >= span[1]:
        raise ConfigError(
            f"There is no bar from {iso(since)} to {_end_text(until)}", "Choose a span that ends after it starts"
        )
    check_symbol(symbol)
    path = find_file(store, symbol, interval, client.exchange)
    if path is None:
        path = store / f"{client.exchange}_{symbol}_{canonical_interval(interval)}.parquet"
    if not path.exists():
        client.market(symbol)  # a symbol that does not exist leaves nothing behind
    with locked(path):
        file = _BarFile(path, client.columns, bar)
        if _uncovered(span, file.covered):
            now = client.now()
            span = (span[0], min(span[1], now // bar * bar))
            if missing := _uncovered(span, file.covered):
                _fill(file, missing, partial(client.page, client.market(symbol), interval, now=now), on_progress)
        if file.empty:
            raise DataError(
                f"{client.exchange} has no {interval} bars of {symbol} from {iso(since)} to {_end_text(until)}",
                "Choose another span",
            )
    return path


def _end_text(until: int | None) -> str:
    return "now" if until is None else iso(until)


def _fill(
    file: _BarFile,
    missing: Sequence[TimeRange],
    page: Callable[[TimeRange], tuple[list[Row], TimeRange]],
    on_progress: Callable[[int, int], None],
) -> None:
    """Fetch the missing spans of a file, and save it every few pages and however this ends."""
    total = sum(end - start for start, end in missing) // file.bar
    done = pages = 0
    on_progress(done, total)
    try:
        for start, end in missing:
            while start < end:
                rows, answered = page((start, end))
                file.add(rows, answered)
                reached = answered[1]
                done += (reached - start) // file.bar
                start = reached
                pages += 1
                if pages % _PAGES_PER_WRITE == 0:
                    file.save()
                on_progress(done, total)
    finally:
        file.save()


def _schema(columns: Sequence[str], metadata: dict[bytes, bytes] | None = None) -> Any:
    kinds = [(name, pa.timestamp("ms", tz="UTC") if name == "timestamp" else pa.float64()) for name in columns]
    return pa.schema(kinds, metadata=metadata)


def _uncovered(span: TimeRange, covered: Sequence[TimeRange]) -> list[TimeRange]:
    """Return the parts of a span that none of the `covered` spans, which are in order, contains."""
    start, stop = span
    missing = []
    for low, high in covered:
        if start < min(low, stop):
            missing.append((start, min(low, stop)))
        start = max(start, high)
    return [*missing, (start, stop)] if start < stop else missing
