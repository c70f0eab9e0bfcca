"""An exchange on 127.0.0.1 that speaks as much of Binance's spot protocol as ccxt asks for, and falters on demand."""

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
Fault = Callable[["Handler", bytes], None]


def kline(opened: int, price: float | None = None) -> list[Any]:
    """A kline as Binance writes it; all that it says follows from when it opened, unless a price is given."""
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


class Handler(BaseHTTPRequestHandler):
    """Answers as the `exchange` of its server says."""

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
        """Tests look at `seen`, not at a log."""


def answer(body: bytes | None = None, status: int = 200, longer: int = 0, **headers: str) -> Fault:
    """Another answer than the right one.

    Args:
        body: instead of the right one.
        status: of HTTP.
        longer: bytes that are announced and do not come.
        headers: with _ for -.
    """

    def send(handler: Handler, right: bytes) -> None:
        content = right if body is None else body
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content) + longer))
        handler.end_headers()
        handler.wfile.write(content)

    return send


def page(*klines: list[Any]) -> Fault:
    """Another page of klines than the right one."""
    return answer(json.dumps(klines).encode())


def hang_up(handler: Handler, right: bytes) -> None:
    """No answer at all."""


class ExchangeServer:
    """What the exchange has, how it falters, and what it was asked.

    Args:
        url: where it listens.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.klines: dict[int, list[Any]] = {}
        self.now = 0
        self.page_size = 10
        self.symbols = [("BTC", "USDT"), ("ETH", "USDT"), ("ETH", "BTC")]
        self.faults: dict[tuple[str, int], Fault] = {}
        self.always: dict[str, Fault] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.headers: list[dict[str, str]] = []
        self.stalled = threading.Event()

    def content(self, name: str, query: dict[str, str]) -> Any:
        """The right answer."""
        if name == "time":
            return {"serverTime": self.now}
        if name == "exchangeInfo":
            return {"timezone": "UTC", "serverTime": self.now, "symbols": [_market(*pair) for pair in self.symbols]}
        assert name == "klines", name
        assert query["symbol"] == "BTCUSDT"
        assert query["interval"] == "5m"
        start, end = int(query["startTime"]), int(query["endTime"])
        found = [self.klines[opened] for opened in sorted(self.klines) if start <= opened <= min(end, self.now)]
        return found[: min(self.page_size, int(query["limit"]))]

    def stall(self, handler: Handler, right: bytes) -> None:
        """Say nothing until the test is over."""
        self.stalled.wait(10)

    def asked(self, name: str = "klines") -> list[int]:
        """The start times, in order, of the pages asked for."""
        return [int(query["startTime"]) for seen, query in self.seen if seen == name]

    def counts(self) -> Counter[str]:
        """How often each endpoint was asked."""
        return Counter(name for name, _ in self.seen)


@contextmanager
def exchange_server() -> Iterator[ExchangeServer]:
    """An exchange that listens until the block ends."""
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
