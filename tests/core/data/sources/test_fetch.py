from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ccxt
import pandas as pd
import pytest

from core.config import DataConfig
from core.data.sources import fetch
from core.data.sources.exchange import ExchangeClient
from core.data.sources.fetch import fetch_bars
from core.data.sources.store import FetchRange
from core.errors import ConfigError, DataError
from tests.helpers import exchange_server as server_module
from tests.helpers.exchange_server import STEP, ExchangeServer, kline
from tests.helpers.fetching import NAME, OHLCV, ROOT, START, assert_bars, at, covered, expected, starts, when

"""When the first bar opens, in milliseconds since 1970, as the exchange counts."""


def test_gaps_are_not_asked_for_again(tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient) -> None:
    traded = [0, 1, 2, *range(8, 12), *range(32, 35)]
    exchange.klines = {at(index): kline(at(index)) for index in traded}
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(-20), when(35))
    assert_bars(path, traded)
    assert covered(path) == [[-20, 35]]
    exchange.seen.clear()
    exchange.now += 2 * STEP
    exchange.klines |= {at(index): kline(at(index)) for index in (35, 36)}
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(-20))
    assert_bars(path, [*traded, 35, 36])
    assert exchange.asked() == starts(35)


def test_a_span_before_the_first_bar_of_all_is_asked_for_once(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0), when(30))
    exchange.seen.clear()
    for _ in range(2):
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(-100), when(30))
    assert exchange.asked() == starts(-100)
    assert_bars(path, range(30))


def test_the_time_after_the_newest_bar_is_asked_for_again(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    late = exchange.klines.pop(at(34))
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0), when(35))
    assert_bars(path, range(34))
    assert covered(path) == [[0, 34]]
    exchange.klines[at(34)] = late
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0), when(35))
    assert_bars(path, range(35))


def test_a_second_run_asks_for_no_bars(tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient) -> None:
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(5), when(30))
    before = path.read_bytes(), path.stat().st_mtime_ns
    exchange.seen.clear()
    assert fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(5), when(30)) == path
    assert fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(7), when(20)) == path
    assert exchange.seen == []
    exchange.now = at(30) + 1
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(5))
    assert exchange.counts() == {"time": 1}
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_file_grows_at_both_ends_and_keeps_what_it_has(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(12), when(20))
    exchange.klines |= {at(index): kline(at(index), price=7.0) for index in range(12, 20)}
    exchange.seen.clear()
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0), when(33))
    assert_bars(path, range(33))
    assert [
        (int(query["startTime"]), int(query["endTime"]) + 1) for name, query in exchange.seen if name == "klines"
    ] == [(at(0), at(12)), (at(10), at(12)), (at(20), at(33)), (at(30), at(33))]
    assert covered(path) == [[0, 33]]


def test_the_time_between_two_spans_is_fetched_when_it_is_asked_for(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(20), when(25))
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(2), when(5))
    assert covered(path) == [[2, 5], [20, 25]]
    assert_bars(path, [*range(2, 5), *range(20, 25)])
    exchange.seen.clear()
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(3), when(24))
    assert exchange.asked() == starts(5, 15)
    assert_bars(path, range(2, 25))


def test_a_span_is_widened_to_whole_bars(tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient) -> None:
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(3.4), when(7.2)), range(3, 8))


def test_an_interrupted_run_is_continued(tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0), on_progress=interrupt)
    assert_bars(tmp_path / NAME, range(20))
    exchange.seen.clear()
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0)), range(35))
    assert exchange.asked() == starts(20, 30)


KILLED = """
import os, signal, sys
from pathlib import Path
from core.data.sources import fetch
from core.data.sources.exchange import ExchangeClient
fetch._PAGES_PER_WRITE = 2
client = ExchangeClient("binance")
client.api.urls["api"]["public"] = sys.argv[1] + "/api/v3"
fetch.fetch_bars(
    Path(sys.argv[2]), client, "BTCUSDT", "5m", int(sys.argv[3]),
    on_progress=lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done == 30 else None,
)
"""


def test_a_killed_run_has_written_its_pages_and_holds_no_lock(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    command = [sys.executable, "-c", KILLED, exchange.url, str(tmp_path), str(when(0))]
    assert subprocess.run(command, check=False, cwd=ROOT).returncode == -signal.SIGKILL
    assert_bars(tmp_path / NAME, range(20))
    exchange.seen.clear()
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0)), range(35))
    assert exchange.asked() == starts(20, 30)


def test_a_span_must_end_after_it_starts(tmp_path: Path, client: ExchangeClient) -> None:
    with pytest.raises(ConfigError, match=r"There is no bar from 2023-11-14T23:00:00\+00:00 to 2023-11-14T23:00:00"):
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(9), when(9))


@pytest.mark.parametrize(("since", "until"), [(-30, -10), (50, None)])
def test_a_span_without_bars_makes_no_file(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, since: int, until: int | None
) -> None:
    with pytest.raises(DataError, match="binance has no 5m bars of BTCUSDT from"):
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(since), None if until is None else when(until))
    assert not (tmp_path / NAME).exists()


def test_a_file_that_another_process_is_fetching_is_refused(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0), when(5))
    with (tmp_path / f"{NAME}.lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="is being written by another process"):
            fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert_bars(path, range(5))
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert_bars(path, range(35))


def test_the_lock_is_held_while_fetching(tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient) -> None:
    refusals = []

    def fetch_too(done: int, total: int) -> None:
        with pytest.raises(ConfigError, match="another process"):
            fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
        refusals.append(done)

    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0), on_progress=fetch_too)
    assert refusals == [0, 10, 20, 30, 35]


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path, client: ExchangeClient) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        fetch_bars(tmp_path / "file" / "store", client, "BTCUSDT", "5m", when(0))


def test_the_last_bar_of_a_file_of_unknown_origin_is_fetched_again(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    frame = expected(range(10, 15))
    frame.loc[4, "close"] += 0.5
    frame.to_parquet(tmp_path / NAME)
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(10), when(20))
    assert_bars(path, range(10, 20))
    assert exchange.asked() == starts(14)


def test_a_file_without_taker_flow_is_continued_without_it(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    expected(range(10, 15), OHLCV).astype({"timestamp": "datetime64[ns, UTC]"}).to_parquet(tmp_path / NAME)
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(8), when(20)), range(8, 20), OHLCV)


_LEVEL = dict.fromkeys(("bid_px_1", "bid_sz_1", "ask_px_1", "ask_sz_1"), 1.0)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (expected(range(5)).assign(**_LEVEL), "it has the columns .*, ask_sz_1, the exchange"),
        (expected(range(5)).drop(columns="volume"), "it has the columns"),
        (expected(range(5)).assign(volume="much"), "much"),
    ],
)
def test_a_file_that_cannot_be_continued_is_left_alone(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, frame: pd.DataFrame, reason: str
) -> None:
    frame.to_parquet(tmp_path / NAME)
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(DataError, match=rf"cannot be continued \(.*{reason}.*\)\. Move it away and fetch again"):
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert (tmp_path / NAME).read_bytes() == before
    assert exchange.asked() == []


@pytest.mark.parametrize("content", [b"", b"not Parquet at all"])
def test_a_damaged_file_is_left_alone(tmp_path: Path, client: ExchangeClient, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(DataError, match="cannot be continued"):
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert (tmp_path / NAME).read_bytes() == content


@pytest.mark.parametrize("count", [0, 1])
def test_a_file_without_a_closed_bar_is_filled(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, count: int
) -> None:
    expected(range(35)).iloc[:count].to_parquet(tmp_path / NAME)
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0)), range(35))


def test_a_file_of_one_bar_is_continued(tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient) -> None:
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(3), when(4))
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(3), when(9)), range(3, 9))
    assert exchange.asked() == starts(3, 4)


def test_bars_off_the_grid_are_refused(tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient) -> None:
    exchange.always["klines"] = server_module.page(kline(at(3)), kline(at(4) + 1000))
    with pytest.raises(DataError, match="opens its 5m bars off the UTC grid"):
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(0))
    assert not (tmp_path / NAME).exists()


class ShortSightedExchange(ccxt.Exchange):
    """An exchange that searches only ten bars from the start of a request, as many do, and does not tell the time."""

    def __init__(self, traded: Iterable[int]) -> None:
        super().__init__({"features": {"spot": {"fetchOHLCV": {"limit": 10}}}, "timeframes": {"5m": "5m"}})
        self.has = {"fetchOHLCV": True, "fetchTime": False}
        self.traded = set(traded)
        self.asked: list[tuple[int, int]] = []

    def load_markets(self, reload: bool = False, params: Any = None) -> Any:
        perpetual = self.safe_market_structure(
            {"id": "XBTUSDT.P", "symbol": "BTC/USDT:USDT", "base": "BTC", "quote": "USDT", "swap": True, "spot": False}
        )
        spot = self.safe_market_structure(
            {"id": "XBTUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "spot": True, "type": "spot"}
        )
        return self.set_markets([spot, perpetual])

    def milliseconds(self) -> int:
        return at(60) + 1

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> Any:
        assert symbol == "BTC/USDT"
        self.asked.append(((since - START) // STEP, limit))
        klines = [kline(opened) for opened in range(since, since + limit * STEP, STEP)]
        rows = [[k[0], *(float(value) for value in k[1:6])] for k in klines]
        return [row for row in rows if (row[0] - START) // STEP in self.traded]


class ForgetfulExchange(ShortSightedExchange):
    """An exchange that gives only its newest 20 bars, from the start of a request on, as Kraken gives 720."""

    late = 0
    """Number of bars in which nothing was traded since its newest one."""

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> Any:
        newest = max(since, at(61 - 20))
        self.asked.append(((since - START) // STEP, limit))
        klines = [kline(opened) for opened in range(newest, at(61 - self.late), STEP)]
        return [[k[0], *(float(value) for value in k[1:6])] for k in klines]


def test_an_outage_longer_than_a_page_does_not_end_the_bars(tmp_path: Path) -> None:
    client = ExchangeClient("kraken")
    traded = [*range(5, 12), *range(45, 61)]
    client.api = ShortSightedExchange(traded)
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(-20))
    assert path.name == "kraken_BTCUSDT_5m.parquet"
    assert_bars(path, [index for index in traded if index < 60], OHLCV)
    assert client.api.asked == [(i, 10) for i in (-20, -10, 0, 10, 12, 22, 32, 42, 52)]
    assert covered(path) == [[-20, 60]]


def test_an_interval_without_prices_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = ExchangeClient("kraken")
    client.api = ShortSightedExchange(range(60))
    fetch_ohlcv = client.api.fetch_ohlcv

    def with_empty_bar(*args: Any) -> Any:
        return [[row[0], None, None, None, None, 0.0] if row[0] == at(55) else row for row in fetch_ohlcv(*args)]

    monkeypatch.setattr(client.api, "fetch_ohlcv", with_empty_bar)
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(50))
    assert_bars(path, [*range(50, 55), *range(56, 60)], OHLCV)


def test_what_an_exchange_does_not_answer_is_not_taken_for_fetched(tmp_path: Path) -> None:
    client = ExchangeClient("kraken")
    client.api = ForgetfulExchange(())
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(-20))
    assert_bars(path, range(41, 60), OHLCV)
    assert covered(path) == [[41, 60]]
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(-20))
    assert client.api.asked == [(-20, 10), (-20, 10)]  # it is asked again: another time it may answer
    with pytest.raises(DataError, match="has no 5m bars of BTCUSDT from"):
        fetch_bars(tmp_path / "past", client, "BTCUSDT", "5m", when(-20), when(10))


@pytest.mark.parametrize("late", [1, 2, 3, 9])
def test_it_is_not_taken_for_fetched_either_where_nothing_was_traded_since(tmp_path: Path, late: int) -> None:
    client = ExchangeClient("kraken")
    client.api = ForgetfulExchange(())
    client.api.late = late
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(-20))
    assert_bars(path, range(41, min(60, 61 - late)), OHLCV)
    assert covered(path) == [[41, min(60, 61 - late)]]


def test_a_command_ends_with_bars_got_of_bars_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def client(exchange: str) -> ExchangeClient:
        made = ExchangeClient(exchange)
        made.api = ForgetfulExchange(())
        return made

    monkeypatch.setattr(fetch, "ExchangeClient", client)
    fetch.fetch_ranges(tmp_path, "5m", [FetchRange("kraken", "BTCUSDT", when(-20), when(60))])
    printed = " ".join(capsys.readouterr().err.split())
    assert "BTCUSDT: 19 of 80 bars from 2023-11-15T01:40:00+00:00 to 2023-11-15T03:15:00+00:00; kraken gave" in printed
    fetch.fetch_ranges(tmp_path, "5m", [FetchRange("kraken", "BTCUSDT", when(45), when(60))])
    printed = " ".join(capsys.readouterr().err.split())
    assert printed.endswith("BTCUSDT: 15 of 15 bars from 2023-11-15T02:00:00+00:00 to 2023-11-15T03:15:00+00:00")


def test_what_a_store_lacks_up_to_now_is_fetched_and_offline_is_named_where_it_cannot_be(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "ExchangeClient", lambda name: client)
    expected(range(10)).to_parquet(tmp_path / NAME)
    config = DataConfig(symbols=("BTCUSDT",), store=tmp_path)
    fetch.fetch_missing(config, when(20))
    fetch.fetch_missing(config.model_copy(update={"offline": True}), when(20), up_to_now=True)
    assert exchange.seen == []
    fetch.fetch_missing(config, when(20.5), up_to_now=True)
    assert_bars(tmp_path / NAME, range(20))

    monkeypatch.undo()
    (tmp_path / NAME).rename(tmp_path / "nyse_BTCUSDT_5m.parquet")
    with pytest.raises(
        ConfigError, match=r"^There is no exchange nyse\. .*; or use what the store has with --offline\.$"
    ):
        fetch.fetch_missing(config, when(30), up_to_now=True)
    with pytest.raises(ConfigError, match=r"^There is no exchange nyse\. Check the spelling[^;]*$"):
        fetch.fetch_missing(config.model_copy(update={"days": 9.0}), when(30))
