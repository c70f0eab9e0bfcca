"""The exchange is asked page by page, and again where it fails for a while."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from core.data import bars
from core.data.sources.exchange import ExchangeClient
from core.data.sources.fetch import fetch_bars
from core.errors import ConfigError, DataError
from tests.helpers import exchange_server as server_module
from tests.helpers.exchange_server import ExchangeServer, Fault, answer, exchange_server, hang_up, kline
from tests.helpers.fetching import NAME, ROOT, assert_bars, at, connect, covered, starts, when


def test_bars_are_fetched_page_by_page_with_their_taker_flow(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, slept: list[float]
) -> None:
    progress: list[tuple[int, int]] = []
    path = fetch_bars(
        tmp_path / "new",
        client,
        "BTCUSDT",
        "5m",
        when(0),
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert path == tmp_path / "new" / NAME
    assert_bars(path, range(35))
    assert exchange.counts() == {"exchangeInfo": 1, "time": 1, "klines": 4}
    assert exchange.asked() == starts(0, 10, 20, 30)
    assert {(query.get("endTime"), query.get("limit")) for name, query in exchange.seen if name == "klines"} == {
        (str(at(35) - 1), "1000")
    }
    assert progress == [(0, 35), (10, 35), (20, 35), (30, 35), (35, 35)]
    assert slept == []
    assert pq.read_schema(path).metadata[b"preset_search.complete"] == b"true"
    assert covered(path) == [[0, 35]]
    assert len(bars.read_bar_file(path).frame) == 35


def test_no_key_is_sent_and_the_rate_limit_is_kept(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("default login someone password secret\n")
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert not {name for sent in exchange.headers for name in sent} & {"Authorization", "X-MBX-APIKEY"}
    assert not any([client.api.apiKey, client.api.secret, client.api.password])
    assert ExchangeClient("binance").api.enableRateLimit is True


def test_a_bar_that_has_not_closed_is_left_for_the_next_run(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    exchange.klines[at(35)] = kline(at(35), price=1.0)
    exchange.now = at(36) - 1
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(30), when(40))
    assert_bars(path, range(30, 35))
    exchange.klines[at(35)] = kline(at(35))
    exchange.now = at(36)
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(30), when(40))
    assert_bars(path, range(30, 36))


def test_a_bar_that_opened_after_the_time_was_requested_is_left_too(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    exchange.always["klines"] = server_module.page(*(kline(at(index)) for index in range(30, 37)))
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(30)), range(30, 35))


@pytest.mark.parametrize("status", [418, 429])
@pytest.mark.parametrize("endpoint", ["exchangeInfo", "time", "klines"])
def test_a_rate_limit_is_waited_for_as_long_as_the_exchange_says(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, slept: list[float], status: int, endpoint: str
) -> None:
    exchange.faults[endpoint, 1] = answer(b'{"code":-1003,"msg":"Too many requests."}', status, Retry_After="17")
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0)), range(35))
    assert slept == [17.0]
    assert exchange.counts()[endpoint] == (5 if endpoint == "klines" else 2)


def test_a_rate_limit_that_ccxt_does_not_know_is_waited_for_too(
    tmp_path: Path,
    exchange: ExchangeServer,
    client: ExchangeClient,
    slept: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exchange.faults["klines", 1] = answer(b"{}", 429, Retry_After="17")
    monkeypatch.setattr(client.api, "handle_errors", lambda *args: None)
    monkeypatch.setattr(client.api, "httpExceptions", {})
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0)), range(35))
    assert slept == [17.0]


def test_waits_grow_and_are_spread_where_the_exchange_names_none(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, slept: list[float]
) -> None:
    exchange.faults |= {("klines", number): answer(b"{}", 429) for number in range(1, 6)}
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0)), range(35))
    assert [low <= waited < 2 * low for low, waited in zip([0.5, 1, 2, 4, 8], slept, strict=True)] == [True] * 5
    assert len({waited / 2**power for power, waited in enumerate(slept)}) == 5


def test_a_wait_too_long_for_a_command_ends_it(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, slept: list[float]
) -> None:
    exchange.faults["klines", 3] = answer(b"{}", 418, Retry_After="7200")
    with pytest.raises(DataError, match=r"^binance accepts no requests for 7200 seconds .* what was fetched is kept"):
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert slept == []
    assert_bars(tmp_path / NAME, range(20))


TEMPORARY_FAULTS: dict[str, Fault] = {
    "500": answer(b"", 500),
    "502": answer(b"<html>Bad gateway</html>", 502, Content_Type="text/html"),
    "503 with a code": answer(b'{"code":-1000,"msg":"An unknown error occurred."}', 503),
    "507": answer(b'{"code":-7777,"msg":"A code that ccxt does not know."}', 507),
    "504": answer(b"", 504),
    "408": answer(b"", 408),
    "403 with a code": answer(b'{"code":-1003,"msg":"Too many requests."}', 403),
    "truncated": answer(longer=100),
    "half a document": answer(b"[[1700000100000,"),
    "not JSON": answer(b"<html>Back soon</html>", Content_Type="text/html"),
    "nothing": answer(b""),
    "no list": answer(b"{}"),
    "half a bar": answer(b'[[1700000100000, "1.0"]]'),
    "no number": answer(json.dumps([[at(10), *["?"] * 11]]).encode()),
    "hung up": hang_up,
    "a page again": server_module.page(*(kline(at(index)) for index in range(10))),
}


@pytest.mark.parametrize("fault", TEMPORARY_FAULTS.values(), ids=TEMPORARY_FAULTS)
def test_a_temporary_fault_is_retried(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, slept: list[float], fault: Fault
) -> None:
    exchange.faults["klines", 2] = fault
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert_bars(path, range(35))
    assert covered(path) == [[0, 35]]
    assert exchange.asked() == starts(0, 10, 10, 20, 30)
    assert len(slept) == 1


def test_an_exchange_that_sends_nothing_is_asked_again(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, slept: list[float]
) -> None:
    exchange.faults["klines", 2] = exchange.stall
    client.api.timeout = 200
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0)), range(35))
    assert exchange.asked() == starts(0, 10, 10, 20, 30)
    assert len(slept) == 1


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [
        ("exchangeInfo", answer(longer=100)),
        ("exchangeInfo", answer(b"<html>")),
        ("time", answer(longer=100)),
        ("time", answer(b"{}")),
    ],
)
def test_requests_before_the_bars_are_retried_too(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, endpoint: str, fault: Fault
) -> None:
    exchange.faults[endpoint, 1] = fault
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0)), range(35))
    assert exchange.counts()[endpoint] == 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answer(b"", 503), "HTTP 503 Service Unavailable"),
        (answer(b"", 429), "HTTP 429 Too Many Requests"),
        (answer(longer=100), "IncompleteRead"),
        (answer(b"<html>"), "not a list of bars"),
        (hang_up, "closed connection without response"),
        (server_module.page(*(kline(at(index)) for index in range(10))), "only bars from before the requested ones"),
    ],
)
def test_a_lasting_fault_ends_the_run_and_keeps_the_bars_fetched_before(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, slept: list[float], fault: Fault, reason: str
) -> None:
    exchange.faults |= {("klines", number): fault for number in range(2, 100)}
    with pytest.raises(DataError) as raised:
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert "binance failed 6 times in a row" in raised.value.what
    assert reason in raised.value.what
    assert "what was fetched is kept" in raised.value.remedy
    assert exchange.asked() == starts(0, *[10] * 6)
    assert len(slept) == 5
    assert_bars(tmp_path / NAME, range(10))
    exchange.faults.clear()
    exchange.seen.clear()
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0)), range(35))
    assert exchange.asked() == starts(10, 20, 30)


@pytest.mark.parametrize(
    ("status", "body"), [(451, b'{"code":0,"msg":"restricted location"}'), (400, b'{"code":-1121,"msg":"restricted"}')]
)
def test_a_refused_request_is_not_retried(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, slept: list[float], status: int, body: bytes
) -> None:
    exchange.always["klines"] = answer(body, status)
    with pytest.raises(
        DataError, match=rf"^binance refuses the request \(HTTP {status} .*restricted.*--store DIR --offline"
    ):
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert len(exchange.asked()) == 1
    assert slept == []
    assert not (tmp_path / NAME).exists()


def test_an_overlapping_page_and_a_repeated_bar_change_nothing(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    stale = [kline(at(index), price=7.0) for index in range(8, 12)]
    overlapping = [
        stale[0],
        stale[1],
        kline(at(10)),
        stale[2],
        *(kline(at(index)) for index in range(11, 20)),
        stale[3],
    ]
    exchange.faults["klines", 2] = server_module.page(*overlapping)
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0)), range(35))
    assert exchange.asked() == starts(0, 10, 20, 30)


def test_ccxt_is_imported_only_to_fetch() -> None:
    code = "import sys, core.data.sources.fetch; sys.exit('ccxt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_an_exchange_that_is_down_is_named_with_the_remedy_and_leaves_nothing_behind(
    tmp_path: Path, client: ExchangeClient, slept: list[float]
) -> None:
    with exchange_server() as closed:
        pass
    client.api.urls["api"]["public"] = f"{closed.url}/api/v3"
    with pytest.raises(DataError) as raised:
        fetch_bars(tmp_path / "store", client, "BTCUSDT", "5m", when(0))
    assert raised.value.what.startswith("binance cannot be reached (")
    assert "Connection refused" in raised.value.what
    assert "--data FILE…" in raised.value.remedy
    assert "--store DIR --offline" in raised.value.remedy
    assert "\n" not in str(raised.value)
    assert len(slept) == 1
    assert not (tmp_path / "store").exists()


def test_the_proxy_of_the_environment_is_used(
    tmp_path: Path, exchange: ExchangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", exchange.url.replace("//", "//someone:secret@"))
    client = ExchangeClient("binance", sleep=lambda seconds: None)
    with pytest.raises(DataError, match="cannot be reached") as raised:
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert exchange.seen == [("CONNECT", {"host": "api.binance.com:443"})] * 2
    assert "secret" not in str(raised.value)


def test_an_unknown_symbol_names_its_nearest_and_leaves_nothing_behind(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    with pytest.raises(
        DataError, match=r"^binance has no spot market BTCUSTD\. Check the spelling: the nearest names are BTCUSDT"
    ):
        fetch_bars(tmp_path / "store", client, "BTCUSTD", "5m", when(0))
    assert exchange.counts() == {"exchangeInfo": 1}
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("symbol", ["BTC/USDT", "btcusdt", "../BTCUSDT"])
def test_a_misspelt_symbol_is_refused_with_the_right_spelling(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, symbol: str
) -> None:
    with pytest.raises(DataError, match=r"is not a symbol\. Write it like BTCUSDT\.$"):
        fetch_bars(tmp_path, client, symbol, "5m", when(0))
    assert exchange.seen == []


def test_an_unknown_exchange_names_its_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"^There is no exchange binanse\. Check the spelling: the nearest names are binance"
    ):
        ExchangeClient("binanse")


@pytest.mark.parametrize(
    ("name", "interval", "offered"),
    [
        ("binance", "7m", r"Choose one of 1m, 3m, 5m, .*1d, 3d\.$"),
        ("binance", "1w", "Choose one of 1m"),
        ("binance", "1s", "Choose one of 1m"),
        ("bitflyer", "5m", "Choose another exchange"),
    ],
)
def test_an_interval_that_is_not_offered_is_refused(tmp_path: Path, name: str, interval: str, offered: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} does not offer bars of {interval}\. {offered}"):
        fetch_bars(tmp_path, ExchangeClient(name), "BTCUSDT", interval, when(0))


def test_the_markets_are_listed_once_for_several_symbols(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    fetch_bars(tmp_path / "one", client, "BTCUSDT", "5m", when(0))
    fetch_bars(tmp_path / "two", client, "BTCUSDT", "5m", when(0))
    assert exchange.counts()["exchangeInfo"] == 1


def test_a_client_can_be_used_after_a_failure(tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient) -> None:
    exchange.faults |= {("klines", number): answer(b"<html>") for number in range(1, 7)}
    with pytest.raises(DataError, match="failed 6 times"):
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0)), range(35))


def test_binance_us_gives_the_taker_flow_too(tmp_path: Path, exchange: ExchangeServer, slept: list[float]) -> None:
    path = fetch_bars(tmp_path, connect(exchange, slept, "binanceus"), "BTCUSDT", "5m", when(0))
    assert path.name == "binanceus_BTCUSDT_5m.parquet"
    assert_bars(path, range(35))
