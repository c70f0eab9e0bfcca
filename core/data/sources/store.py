"""A store: a folder of bar files, `<exchange>_<SYMBOL>_<interval>.parquet`, that can be topped up from an exchange."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from core.config import DataConfig
from core.data.file_format import COMPLETE, FILE_NAME, interval_seconds
from core.errors import ConfigError, DataError

DEFAULT_EXCHANGE = "binance"
COVERED = b"preset_search.covered"
"""Schema metadata of a fetched file: the spans asked for, a JSON list of [start, end) in epoch milliseconds."""


@dataclass(frozen=True)
class FetchRange:
    """Bars of a symbol to be fetched from an exchange, from an instant to another."""

    exchange: str
    symbol: str
    start: datetime
    end: datetime


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
        found = stored(store, symbol, interval, exchange)
        if not found:
            raise DataError(
                f"The store {store} has no {interval} bars of {symbol}{f' from {exchange}' if exchange else ''}",
                f"Put <exchange>_{symbol}_{interval}.parquet there, fetch it (preset-search data fetch --symbols "
                f"{symbol} --interval {interval} --days N), or name files with --data FILE…",
            )
        if len(found) > 1:
            raise DataError(
                f"The store {store} has {interval} bars of {symbol} from several exchanges: "
                + ", ".join(path.name for path in found),
                "Choose one with --exchange",
            )
        paths.append(found[0])
    return paths


def stored(store: Path, symbol: str, interval: str, exchange: str | None) -> list[Path]:
    """The store's files of one symbol and interval."""
    return sorted(
        path
        for path in store.glob(f"*_{interval}.parquet")
        if (match := FILE_NAME.fullmatch(path.name))
        and match["symbol"] == symbol
        and exchange in (None, match["exchange"])
    )


def missing_ranges(config: DataConfig, now: datetime) -> list[FetchRange]:
    """What a store lacks of the days that a config asks for.

    The days end at `until`, or, where every symbol has a file, at the newest instant common to all: a
    store that holds enough is not topped up just because time has passed. A hole counts as lacking
    unless the exchange was asked for it before, or the file was not made by fetching.

    Raises:
        ConfigError: a symbol has no file, and no days say how much of it to fetch.
        DataError: several exchanges have a symbol's file, and none was chosen.
    """
    held = {symbol: _held(config, symbol) for symbol in config.symbols}
    known = [item for item in held.values() if item is not None]
    if config.days is None:
        missing = [symbol for symbol, item in held.items() if item is None]
        if missing:
            raise ConfigError(
                f"The store {config.store} has no {config.interval} bars of {', '.join(missing)}",
                "Say how many days to fetch with --days N, or name files with --data FILE…",
            )
        return []
    end = config.until or (min(item.end for item in known) if len(known) == len(held) else now)
    start = end - timedelta(days=config.days)
    default = config.exchange or DEFAULT_EXCHANGE
    return [
        FetchRange(item.exchange if item else default, symbol, start, end)
        for symbol, item in held.items()
        if item is None or not item.covers(start, end)
    ]


@dataclass(frozen=True)
class _Held:
    """What a store has of one symbol: its exchange, and the spans that are known to be all there is."""

    exchange: str
    spans: tuple[tuple[datetime, datetime], ...]

    @property
    def end(self) -> datetime:
        return self.spans[-1][1]

    def covers(self, start: datetime, end: datetime) -> bool:
        return any(first <= start and end <= last for first, last in self.spans)


def _held(config: DataConfig, symbol: str) -> _Held | None:
    paths = stored(config.store, symbol, config.interval, config.exchange)
    if not paths:
        return None
    if len(paths) > 1:
        find_in_store(config.store, [symbol], config.interval, config.exchange)  # says which there are
    match = FILE_NAME.fullmatch(paths[0].name)
    exchange = match["exchange"] if match else DEFAULT_EXCHANGE
    try:
        table = pq.read_table(paths[0], columns=["timestamp"])
        opened = pd.to_datetime(table.column("timestamp").to_pandas(), utc=True)
        metadata = table.schema.metadata or {}
        spans = json.loads(metadata.get(COVERED, b"[]"))
    except (OSError, KeyError, ValueError):
        # Damaged: reading it will say how. Fetching must not paper over it.
        return _Held(exchange, ((datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),))
    if spans:
        return _Held(exchange, tuple((_instant(first), _instant(last)) for first, last in sorted(spans)))
    if opened.empty:
        return None
    # A file of unknown origin may end in a bar that had not closed, which the reader drops.
    bar = timedelta(seconds=interval_seconds(config.interval)) if metadata.get(COMPLETE) == b"true" else timedelta()
    return _Held(exchange, ((opened.min().to_pydatetime(), opened.max().to_pydatetime() + bar),))


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
