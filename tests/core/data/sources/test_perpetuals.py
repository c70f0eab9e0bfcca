"""Exchanges that list only derivatives give the bars of perpetual swaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ccxt
import pytest

from core.data.bars import read_bar_file
from core.data.file_format import DAY
from core.data.sources.exchange import ExchangeClient
from core.data.sources.fetch import fetch_bars
from core.errors import DataError
from tests.helpers.exchange_server import STEP, ExchangeServer, kline, swap
from tests.helpers.fetching import OHLCV, START, assert_bars, at, connect, covered, expected, held, starts, when


@pytest.fixture
def linear(exchange: ExchangeServer, slept: list[float]) -> ExchangeClient:
    """A client of Binance's swaps that are settled in the quote."""
    exchange.swaps = [
        swap("BTC", "USDT", "USDT", contract="CURRENT_QUARTER"),
        swap("BTC", "USDT", "USDT"),
        swap("BTC", "USDC", "USDC"),
    ]
    return connect(exchange, slept, "binanceusdm")


@pytest.fixture
def inverse(exchange: ExchangeServer, slept: list[float]) -> ExchangeClient:
    """A client of Binance's swaps that are settled in the base, whose contracts are worth 100 dollars."""
    exchange.swaps = [
        swap("BTC", "USD", "BTC", size=100, contract="CURRENT_QUARTER"),
        swap("BTC", "USD", "BTC", size=100),
    ]
    exchange.market = "BTCUSD_PERP"
    return connect(exchange, slept, "binancecoinm")


def test_swaps_settled_in_the_quote_have_the_taker_flow_of_spot_bars(
    tmp_path: Path, exchange: ExchangeServer, linear: ExchangeClient
) -> None:
    path = fetch_bars(tmp_path, linear, "BTCUSDT", "5m", when(0))
    assert path.name == "binanceusdm_BTCUSDT_5m.parquet"
    assert_bars(path, range(35))
    assert covered(path) == [[0, 35]]
    assert exchange.counts() == {"exchangeInfo": 1, "time": 1, "klines": 4}
    assert exchange.asked() == starts(0, 10, 20, 30)


def test_coin_margined_bars_count_volume_in_the_base_and_the_quote(
    tmp_path: Path, exchange: ExchangeServer, inverse: ExchangeClient
) -> None:
    # As Binance documents its klines: contracts, base asset, trades, contracts and base asset bought by takers.
    for opened in exchange.klines:
        exchange.klines[opened][5] = "1300"
        exchange.klines[opened][7] = "2.6"
        exchange.klines[opened][9] = "400"
        exchange.klines[opened][10] = "0.8"
    path = fetch_bars(tmp_path, inverse, "BTCUSD", "5m", when(0))
    assert path.name == "binancecoinm_BTCUSD_5m.parquet"
    bars = held(path)
    assert len(bars) == 35
    assert list(bars["close"]) == list(expected(range(35))["close"])
    first = bars.iloc[0]
    assert (first["volume"], first["quote_volume"]) == (2.6, 130_000.0)
    assert (first["taker_buy_base"], first["taker_buy_quote"]) == (0.8, 40_000.0)
    assert list(bars["trades"]) == list(expected(range(35))["trades"])
    assert len(read_bar_file(path).frame) == 35  # they pass every check


def test_coin_margined_bars_are_asked_for_in_spans_that_the_exchange_accepts(
    tmp_path: Path, exchange: ExchangeServer, inverse: ExchangeClient
) -> None:
    exchange.klines = {at(index): kline(at(index)) for index in range(-2000, 35)}
    exchange.page_size = 2000
    path = fetch_bars(tmp_path, inverse, "BTCUSD", "5m", when(-3500))
    # No page is wider than the number of bars that it can hold, and an empty one does not end the bars.
    assert len(held(path)) == 2035
    spans = [(int(query["startTime"]), int(query["endTime"]) + 1) for name, query in exchange.seen if name == "klines"]
    assert spans == [
        (at(first), at(last)) for first, last in ((-3500, -2500), (-2500, -1500), (-1500, -500), (-500, 35))
    ]
    assert covered(path) == [[-3500, 35]]


def test_daily_coin_margined_bars_are_asked_for_200_days_at_a_time(
    exchange: ExchangeServer, inverse: ExchangeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = inverse.market("BTCUSD")
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(inverse.api, "dapiPublicGetKlines", lambda query: asked.append(query) or [])
    start = START * 1000 // DAY * DAY
    rows, answered = inverse.page(market, "1d", (start, start + 900 * DAY), start + 900 * DAY)
    assert (rows, answered) == ([], (start, start + 200 * DAY))
    assert asked[0]["endTime"] + 1 - asked[0]["startTime"] == 200 * DAY // 1000


@pytest.mark.parametrize(("name", "kind"), [("linear", "perpetual swap"), ("client", "spot market")])
def test_an_unknown_symbol_names_the_kind_of_market(
    tmp_path: Path, name: str, kind: str, request: pytest.FixtureRequest
) -> None:
    client = request.getfixturevalue(name)
    with pytest.raises(DataError, match=rf"has no {kind} BTCUSTD\. Check the spelling: the nearest names are BTCUSDT"):
        fetch_bars(tmp_path, client, "BTCUSTD", "5m", when(0))


class SwapExchange(ccxt.Exchange):
    """An exchange that lists these swaps of BTC and USD, does not say how long its pages are, and gives every bar."""

    def __init__(self, *settles: str) -> None:
        unknown = {"fetchOHLCV": {"limit": None}}
        super().__init__({"features": {"swap": {"linear": unknown, "inverse": unknown}}, "timeframes": {"5m": "5m"}})
        self.has = {"fetchOHLCV": True, "fetchTime": False}
        self.settles = settles
        self.fetched: list[tuple[str, int]] = []

    def load_markets(self, reload: bool = False, params: Any = None) -> Any:
        pair = {"base": "BTC", "quote": "USD", "spot": False}
        dated = {
            **pair,
            "id": "BTC_FUTURE",
            "symbol": "BTC/USD:USD-300101",
            "settle": "USD",
            "future": True,
            "swap": False,
        }
        swaps = [
            {
                **pair, "id": f"BTC_{settle}", "symbol": f"BTC/USD:{settle}", "settle": settle, "swap": True,
                "type": "swap", "linear": settle == "USD", "inverse": settle != "USD",
            }
            for settle in self.settles
        ]  # fmt: skip
        return self.set_markets([self.safe_market_structure(market) for market in (dated, *swaps)])

    def milliseconds(self) -> int:
        return at(35) + 1

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> Any:
        self.fetched.append((symbol, limit))
        opened = range(since, min(since + limit * STEP, at(36)), STEP)
        return [[row[0], *(float(value) for value in row[1:6])] for row in map(kline, opened)]


def _swap_client(*settles: str) -> ExchangeClient:
    client = ExchangeClient("krakenfutures")
    client.api = SwapExchange(*settles)
    return client


@pytest.mark.parametrize(("settles", "chosen"), [(["BTC"], "BTC"), (["USD", "BTC"], "USD"), (["BTC", "USD"], "USD")])
def test_of_several_swaps_the_one_settled_in_the_quote_is_fetched(
    tmp_path: Path, settles: list[str], chosen: str
) -> None:
    client = _swap_client(*settles)
    path = fetch_bars(tmp_path, client, "BTCUSD", "5m", when(0))
    assert path.name == "krakenfutures_BTCUSD_5m.parquet"
    assert_bars(path, range(35), OHLCV)
    assert client.api.fetched == [(f"BTC/USD:{chosen}", 100)]


def test_several_swaps_none_of_which_is_settled_in_the_quote_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"^krakenfutures has several perpetual swaps BTCUSD: BTC/USD:BTC, BTC/USD:USDC\. Choose another",
    ):
        fetch_bars(tmp_path / "store", _swap_client("USDC", "BTC"), "BTCUSD", "5m", when(0))
    assert not (tmp_path / "store").exists()


def test_a_dated_future_is_no_perpetual_swap(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^krakenfutures has no perpetual swap BTCUSD\."):
        fetch_bars(tmp_path, _swap_client(), "BTCUSD", "5m", when(0))


@pytest.mark.parametrize(
    ("name", "types"),
    [("binance", ["spot"]), ("binanceus", ["spot"]), ("binanceusdm", ["linear"]), ("binancecoinm", ["inverse"])],
)
def test_only_the_markets_that_are_fetched_are_listed(name: str, types: list[str]) -> None:
    assert ExchangeClient(name).api.options["fetchMarkets"]["types"] == types
