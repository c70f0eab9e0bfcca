"""A stand-in exchange, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core.data.sources.exchange import ExchangeClient
from tests.helpers.exchange_server import STEP, ExchangeServer, exchange_server, kline
from tests.helpers.fetching import at, connect


@pytest.fixture
def exchange() -> Iterator[ExchangeServer]:
    """35 bars that have closed, ten to a page, and one that has not."""
    with exchange_server() as server:
        server.klines = {at(index): kline(at(index)) for index in range(36)}
        server.now = at(35) + STEP // 2
        yield server


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(exchange: ExchangeServer, slept: list[float]) -> ExchangeClient:
    return connect(exchange, slept)
