"""A store: a folder of bar files, `<exchange>_<SYMBOL>_<interval>.parquet`, that can be topped up from an exchange."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from core.config import DataConfig
from core.errors import ConfigError, DataError
from core.market.bars import FILE_NAME, interval_seconds

DEFAULT_EXCHANGE = "binance"
Piece = tuple[str, datetime, datetime]
"""Bars of a symbol from an instant to another."""


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


def lacking(config: DataConfig, now: datetime) -> list[Piece]:
    """What a store lacks of the days that a config asks for: symbol, start and end of each missing piece.

    The days end at `until`, or, where every symbol has a file, at the newest instant common to all: a
    store that holds enough is not topped up just because time has passed.

    Raises:
        ConfigError: a symbol has no file, and no days say how much of it to fetch.
    """
    held = {symbol: _held(config, symbol) for symbol in config.symbols}
    spans = [span for span in held.values() if span is not None]
    if config.days is None:
        missing = [symbol for symbol, span in held.items() if span is None]
        if missing:
            raise ConfigError(
                f"The store {config.store} has no {config.interval} bars of {', '.join(missing)}",
                "Say how many days to fetch with --days N, or name files with --data FILE…",
            )
        return []
    end = config.until or (min(last for _, last in spans) if len(spans) == len(held) else now)
    start = end - pd.Timedelta(days=config.days)
    return [(symbol, start, end) for symbol, span in held.items() if span is None or span[0] > start or span[1] < end]


def _held(config: DataConfig, symbol: str) -> tuple[datetime, datetime] | None:
    """From the first bar's opening to the last bar's end in the store's file of a symbol; None without a file."""
    paths = stored(config.store, symbol, config.interval, config.exchange)
    if len(paths) != 1:
        return None
    try:
        column = pq.read_table(paths[0], columns=["timestamp"]).column("timestamp").to_pandas()
    except (OSError, KeyError, ValueError):
        return datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)  # reading it will say what is wrong
    if column.empty:
        return None
    first, last = pd.to_datetime(column.min(), utc=True), pd.to_datetime(column.max(), utc=True)
    return first, last + pd.Timedelta(seconds=interval_seconds(config.interval))
