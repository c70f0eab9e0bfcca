"""Bars of the stand-in exchange, and what a file of fetched bars has to hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from core.data.sources.exchange import ExchangeClient
from tests.helpers.exchange_server import STEP, ExchangeServer, kline

NAME = "binance_BTCUSDT_5m.parquet"
ROOT = Path(__file__).parents[2]
START = 1_700_000_100_000 // STEP * STEP


POSITIONS = {
    "open": 1,
    "high": 2,
    "low": 3,
    "close": 4,
    "volume": 5,
    "quote_volume": 7,
    "trades": 8,
    "taker_buy_base": 9,
    "taker_buy_quote": 10,
}


OHLCV = list(POSITIONS)[:5]


def at(index: int) -> int:
    """When a bar opens, in milliseconds since 1970."""
    return START + index * STEP


def when(index: float) -> int:
    """When a bar opens, in microseconds since 1970."""
    return START * 1000 + round(index * STEP * 1000)


def starts(*indices: int) -> list[int]:
    return [at(index) for index in indices]


def held(path: Path) -> pd.DataFrame:
    return pq.read_table(path).to_pandas()


def expected(indices: Iterable[int], columns: Sequence[str] = tuple(POSITIONS)) -> pd.DataFrame:
    klines = [kline(at(index)) for index in indices]
    opened = pd.Series([row[0] for row in klines]).astype("datetime64[ms, UTC]")
    return pd.DataFrame({"timestamp": opened} | {name: [float(k[POSITIONS[name]]) for k in klines] for name in columns})


def assert_bars(path: Path, indices: Iterable[int], columns: Sequence[str] = tuple(POSITIONS)) -> None:
    pd.testing.assert_frame_equal(held(path), expected(indices, columns))


def covered(path: Path) -> list[list[int]]:
    spans = json.loads(pq.read_schema(path).metadata[b"preset_search.covered"])
    return [[(start - START) // STEP, (end - START) // STEP] for start, end in spans]


API = {"binanceusdm": ("fapiPublic", "/fapi/v1"), "binancecoinm": ("dapiPublic", "/dapi/v1")}
"""ccxt's name and the path of the API of the exchanges of Binance that are no spot market."""


def connect(exchange: ExchangeServer, slept: list[float], name: str = "binance") -> ExchangeClient:
    client = ExchangeClient(name, sleep=slept.append, rng=np.random.default_rng(0))
    api, path = API.get(name, ("public", "/api/v3"))
    client.api.urls["api"][api] = f"{exchange.url}{path}"
    client.api.enableRateLimit = False  # these tests do not need ccxt's own pauses
    return client
