"""An exchange on 127.0.0.1 that implements the part of Binance's APIs that ccxt uses, and fails on demand.

All instants are in milliseconds since 1970, as in that API.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

STEP = 300_000
"""Length of a bar in milliseconds."""
Fault = Callable[["Handler", bytes], None]
"""How to answer instead of sending the correct body, which it is given."""


def kline(opened: int, price: float | None = None) -> list[Any]:
    """Return a kline as Binance writes it; its values follow from when it opened, unless a price is given."""
    i = opened // STEP % 1000
    price = 100.0 + i if price is None else price
    return [
        opened, f"{price:.8f}", f"{price + 2:.8f}", f"{price - 2:.8f}", f"{price + 1:.8f}", f"{10 + i:.8f}",
        opened + STEP - 1, f"{1000 + i:.8f}", 50 + i, f"{5 + i:.8f}", f"{500 + i:.8f}", "0",
    ]  # fmt: skip


def _market(base: str, quote: str) -> dict[str, Any]:
    return {
        "symbol": base + quote, "status": "TRADING", "baseAsset": base, "quoteAsset": quote,
        "baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8, "orderTypes": ["LIMIT"],
        "isSpotTradingAllowed": True, "permissions": ["SPOT"], "permissionSets": [["SPOT"]], "filters": [],
    }  # fmt: skip


def swap(base: str, quote: str, settle: str, size: float | None = None, contract: str = "PERPETUAL") -> dict[str, Any]:
    """Return a contract as Binance lists it; its size is None where one contract is one unit of the base."""
    perpetual = contract == "PERPETUAL"
    return {
        "symbol": base + quote + ("" if size is None else "_PERP" if perpetual else "_240329"),
        "pair": base + quote, "contractType": contract,
        "deliveryDate": 4_133_404_800_000 if perpetual else 1_711_699_200_000,
        "status": "TRADING", "baseAsset": base, "quoteAsset": quote, "marginAsset": settle,
        "pricePrecision": 2, "quantityPrecision": 3, "baseAssetPrecision": 8, "quotePrecision": 8, "filters": [],
        **({} if size is None else {"contractSize": size}),
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    """Answers requests as the `exchange` of its server prescribes."""

    def do_GET(self) -> None:
        exchange: ExchangeServer = self.server.exchange  # type: ignore[attr-defined]
        url = urlsplit(self.path)
        name, query = url.path.rsplit("/", 1)[-1], dict(parse_qsl(url.query))
        exchange.seen.append((name, query))
        exchange.headers.append(dict(self.headers))
        number = sum(other == name for other, _ in exchange.seen)
        body = json.dumps(exchange.content(name, query)).encode()
        exchange.faults.get((name, number), exchange.always.get(name, answer()))(self, body)

    def do_CONNECT(self) -> None:
        self.server.exchange.seen.append(("CONNECT", {"host": self.path}))  # type: ignore[attr-defined]
        answer(status=501)(self, b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: tests read `seen` instead."""


def answer(body: bytes | None = None, status: int = 200, longer: int = 0, **headers: str) -> Fault:
    """Return a fault that sends another answer than the correct one.

    Args:
        body: body to send; None for the correct one.
        status: HTTP status code.
        longer: number of bytes that are announced but not sent.
        headers: further headers; their names have _ for -.
    """

    def send(handler: Handler, correct: bytes) -> None:
        content = correct if body is None else body
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content) + longer))
        handler.end_headers()
        handler.wfile.write(content)

    return send


def page(*klines: list[Any]) -> Fault:
    """Return a fault that sends these klines instead of the correct ones."""
    return answer(json.dumps(klines).encode())


def hang_up(handler: Handler, correct: bytes) -> None:
    """Close the connection without an answer."""


class ExchangeServer:
    """The bars of the exchange, how it fails, and which requests it received.

    Args:
        url: address at which the exchange listens.

    Attributes:
        klines: klines by when they open.
        now: time at the exchange.
        page_size: maximum number of klines in an answer.
        symbols: base and quote of each spot market.
        swaps: contracts, as `swap` returns them, that are listed instead of the spot markets.
        market: the symbol by which the exchange knows the market of its klines.
        faults: fault of the n-th request, counted from 1, to an endpoint.
        always: fault of every other request to an endpoint.
        seen: endpoint and query of each request.
        headers: headers of each request.
        stalled: event that ends the answers of `stall`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.klines: dict[int, list[Any]] = {}
        self.now = 0
        self.page_size = 10
        self.symbols = [("BTC", "USDT"), ("ETH", "USDT"), ("ETH", "BTC")]
        self.swaps: list[dict[str, Any]] = []
        self.market = "BTCUSDT"
        self.faults: dict[tuple[str, int], Fault] = {}
        self.always: dict[str, Fault] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.headers: list[dict[str, str]] = []
        self.stalled = threading.Event()

    def content(self, name: str, query: dict[str, str]) -> Any:
        """Return the correct answer of an endpoint to a query."""
        if name == "time":
            return {"serverTime": self.now}
        if name == "exchangeInfo":
            listed = self.swaps or [_market(*pair) for pair in self.symbols]
            return {"timezone": "UTC", "serverTime": self.now, "symbols": listed}
        assert name == "klines", name
        assert query["symbol"] == self.market
        assert query["interval"] == "5m"
        start, end = int(query["startTime"]), int(query["endTime"])
        klines = [self.klines[opened] for opened in sorted(self.klines) if start <= opened <= min(end, self.now)]
        return klines[: min(self.page_size, int(query["limit"]))]

    def stall(self, handler: Handler, correct: bytes) -> None:
        """Send nothing until the test is over."""
        self.stalled.wait(10)

    def asked(self, name: str = "klines") -> list[int]:
        """Return the start times of the requested pages, in order."""
        return [int(query["startTime"]) for seen, query in self.seen if seen == name]

    def counts(self) -> Counter[str]:
        """Count the requests to each endpoint."""
        return Counter(name for name, _ in self.seen)


@contextmanager
def exchange_server() -> Iterator[ExchangeServer]:
    """Run an exchange until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    exchange = ExchangeServer(f"http://127.0.0.1:{server.server_port}")
    server.exchange = exchange  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield exchange
    finally:
        exchange.stalled.set()
        server.shutdown()
        server.server_close()
        thread.join()
