"""Fetching bars from an exchange into a store: only what is missing, page by page, resumable.

A file written here says in its Parquet metadata that its last bar had closed (`preset_search.complete`) and which
spans were asked for (`preset_search.covered`, a JSON list of [start, end)), so that a hole which an outage left at the
exchange is not asked for again. All instants in this module are milliseconds since 1970, UTC.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import TaskID

from core import console
from core.config import DataConfig
from core.data.file_format import COMPLETE, REQUIRED, interval_seconds, microseconds
from core.data.sources.exchange import Client, Row, Span
from core.data.sources.store import COVERED, FetchRange, missing_ranges
from core.errors import ConfigError, DataError
from core.files import writing


def fetch_missing(config: DataConfig) -> None:
    """Fetch what the store lacks of the days that a config asks for, unless it is to stay offline.

    Raises:
        ConfigError: it is not said how much to fetch, or from where.
        DataError: the exchange cannot be reached, or does not have it.
    """
    if config.offline or not config.symbols:
        return
    pieces = missing_ranges(config, datetime.now(UTC))
    if pieces:
        fetch_ranges(config.store, config.interval, pieces)


def fetch_ranges(store: Path, interval: str, pieces: Sequence[FetchRange]) -> list[Path]:
    """Fetch pieces of symbols' histories into a store, with a progress bar; returns the files.

    Raises:
        ConfigError: the exchange, the interval or the store cannot be used.
        DataError: the exchange cannot be reached, or does not have it.
    """
    paths = []
    with console.progress_bar() as bar:
        clients = {exchange: Client(exchange) for exchange in sorted({piece.exchange for piece in pieces})}
        for piece in pieces:
            task = bar.add_task(f"fetching {piece.symbol} {interval} from {piece.exchange}", total=None)

            def show(done: int, total: int, task: TaskID = task) -> None:
                bar.update(task, completed=done, total=total)

            client = clients[piece.exchange]
            paths.append(fetch_bars(store, client, piece.symbol, interval, piece.start, piece.end, on_progress=show))
    return paths


_PAGES_PER_WRITE = 50  # some seconds of fetching; writing millions of bars takes two


class _File:
    """The bars of one file, those that have come since it was written, and the spans that were asked for."""

    def __init__(self, path: Path, offered: Sequence[str], step: int) -> None:
        self.path = path
        self.step = step
        self.covered: list[Span] = []
        self._offered = list(offered)
        self._columns = self._offered
        self._frame = pd.DataFrame(columns=self._columns)
        self._new: list[Row] = []
        if path.exists():
            self._read()

    def _read(self) -> None:
        try:
            table = pq.read_table(self.path)
            names, metadata = table.column_names, table.schema.metadata or {}
            unknown = [name for name in names if name not in self._offered]
            if unknown or not set(REQUIRED) <= set(names):
                raise ValueError(f"it has the columns {', '.join(names)}, the exchange {', '.join(self._offered)}")
            frame = table.cast(_schema(names)).to_pandas()
            frame["timestamp"] = microseconds(frame["timestamp"]) // 1000
            if metadata.get(COMPLETE) != b"true":
                frame = frame.iloc[:-1]  # may have been open when it was written
            elif COVERED in metadata:
                self.covered = _joined((int(start), int(end)) for start, end in json.loads(metadata[COVERED]))
        except (OSError, pa.ArrowException, TypeError, ValueError) as error:
            raise DataError(
                f"{self.path} cannot be continued ({' '.join(str(error).split())})",
                "Move it away and fetch again, or fetch into another --store",
            ) from None
        if not self.covered and len(frame):
            self.covered = [(int(frame["timestamp"].min()), int(frame["timestamp"].max()) + self.step)]
        # A file that was begun without the taker flow goes on without it.
        self._frame, self._columns = frame, names

    @property
    def empty(self) -> bool:
        """Whether there is not one bar."""
        return self._frame.empty and not self._new

    def add(self, rows: list[Row], span: Span) -> None:
        """Take in the bars of a span, which is all that the exchange has of it."""
        self._new += rows
        self.covered = _joined([*self.covered, span])

    def save(self) -> None:
        """Write the file, whole or not at all. After the newest bar nothing is covered: bars may come late."""
        if self.empty:
            return
        new = pd.DataFrame(self._new, columns=self._offered)[self._columns]
        frame = pd.concat([part for part in (self._frame, new) if len(part)])
        self._frame = frame.drop_duplicates("timestamp").sort_values("timestamp", ignore_index=True)
        self._new = []
        edge = int(self._frame["timestamp"].iloc[-1]) + self.step
        covered = [(start, min(end, edge)) for start, end in self.covered if start < edge]
        schema = _schema(self._columns, {COMPLETE: b"true", COVERED: json.dumps(covered).encode()})
        with writing(self.path) as temporary:
            pq.write_table(pa.Table.from_pandas(self._frame, preserve_index=False).cast(schema), temporary)


def fetch_bars(
    store: Path,
    client: Client,
    symbol: str,
    interval: str,
    since: datetime,
    until: datetime | None = None,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Make sure that the store has the bars from `since` to `until`, as far as the exchange has them.

    Args:
        store: folder of bar files; made if need be.
        client: the exchange; one client serves many symbols.
        symbol: spot market, written like BTCUSDT.
        interval: like 5m, 1h, 1d.
        since: opening of the first bar; UTC if it names no zone.
        until: end of the last bar; the last one that has closed if None or later than that.
        on_progress: called with the bars' worth of time done and in all, before the first page and after each.

    Returns:
        The file.

    Raises:
        ConfigError: the interval, span or store cannot be used, or another process is fetching the same file.
        DataError: no such symbol, no bars, a file that cannot be continued, or an exchange that cannot be reached,
            refuses or goes on failing; what came before that is kept.
    """
    client.check_interval(interval)
    step = interval_seconds(interval) * 1000
    asked = (_milliseconds(since) // step * step, -(-_milliseconds(until) // step) * step if until else 2**62)
    if asked[0] >= asked[1]:
        raise ConfigError(f"There is no bar from {since} to {until}", "Let the span end after it starts")
    if not re.fullmatch("[A-Z0-9]+", symbol):
        raise DataError(f"{symbol!r} is no symbol", f"Write it like {re.sub('[^A-Z0-9]', '', symbol.upper())}")
    path = store / f"{client.exchange}_{symbol}_{interval}.parquet"
    if not path.exists():
        client.market(symbol)  # a symbol that does not exist leaves nothing behind
    with _locked(path):
        file = _File(path, client.columns, step)
        if _missing(asked, file.covered):
            asked = (asked[0], min(asked[1], client.now() // step * step))
        missing = _missing(asked, file.covered)
        if missing:
            _fill(file, missing, partial(client.page, client.market(symbol), interval), on_progress)
        if file.empty:
            raise DataError(
                f"{client.exchange} has no {interval} bars of {symbol} from {since} to {until or 'now'}",
                "Choose another span",
            )
    return path


def _fill(
    file: _File,
    missing: Sequence[Span],
    page: Callable[[Span], tuple[list[Row], int]],
    on_progress: Callable[[int, int], None],
) -> None:
    total = sum(end - start for start, end in missing) // file.step
    done = pages = 0
    on_progress(done, total)
    try:
        for start, end in missing:
            while start < end:
                rows, reached = page((start, end))
                file.add(rows, (start, reached))
                done += (reached - start) // file.step
                start = reached
                pages += 1
                if pages % _PAGES_PER_WRITE == 0:
                    file.save()
                on_progress(done, total)
    finally:
        file.save()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from fetching the same file. The lock's file stays: removing it would race."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.with_name(f"{path.name}.lock").open("a")
    except OSError as error:
        raise ConfigError(f"{path.parent} cannot be written ({error.strerror})", "Choose another --store") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{path} is being fetched by another process", "Run again when that has ended: it goes on from there"
            ) from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be locked ({error.strerror})", "Choose a --store that can lock") from None
        yield


def _schema(columns: Sequence[str], metadata: dict[bytes, bytes] | None = None) -> Any:
    kinds = [(name, pa.timestamp("ms", tz="UTC") if name == "timestamp" else pa.float64()) for name in columns]
    return pa.schema(kinds, metadata=metadata)


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The same instants in as few spans as possible, in order."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _missing(asked: Span, covered: Sequence[Span]) -> list[Span]:
    """What of a span is not covered; `covered` is in order."""
    start, stop = asked
    missing = []
    for low, high in covered:
        if start < min(low, stop):
            missing.append((start, min(low, stop)))
        start = max(start, high)
    return [*missing, (start, stop)] if start < stop else missing


def _milliseconds(instant: datetime) -> int:
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1000)
