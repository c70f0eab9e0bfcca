from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.sources import fetch
from core.data.sources.exchange import Client
from search.cli.app import main
from tests.helpers.exchange_server import STEP, ExchangeServer, exchange_server, kline
from tests.helpers.market import random_bars

START = pd.Timestamp("2024-01-01", tz="UTC")
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `preset-search` with these arguments in an empty folder: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRESET_SEARCH_CACHE", "")

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["preset-search", *args])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def test_check_reports_files_splits_and_what_they_can_prove(tmp_path: Path, command: Command) -> None:
    for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        frame = random_bars(288 * 10, seed=seed).frame.assign(funding=0.0)
        frame.to_parquet(tmp_path / f"binance_{symbol}_5m.parquet")
    code, told, _ = command("data", "check", "binance_BTCUSDT_5m.parquet", "binance_ETHUSDT_5m.parquet")
    assert code == 0
    for part in ("2,880", "gaps", "duplicates", "frozen bars", "zero volume", "outliers", "train", "val", "test"):
        assert part in told
    for part in ("ignored columns: funding", "14 or more are advised", "prove a direction_auc of 0.", "25.0%"):
        assert part in told


def test_check_lists_damage_and_ends_with_2(tmp_path: Path, command: Command) -> None:
    frame = random_bars(600).frame
    frame.loc[3, "close"] = np.nan
    frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    code, told, wrong = command("data", "check", "binance_BTCUSDT_5m.parquet")
    assert code == 2
    assert "row 3 (2024-03-01 00:15:00+00:00) has no finite close" in told
    assert wrong == "error: 1 of 1 files cannot be used. Mend the rows named above.\n"


def test_check_names_the_features_asked_for(tmp_path: Path, command: Command) -> None:
    frame = random_bars(288 * 15).frame.assign(funding=np.sin(np.arange(288 * 15)), other=0.0)
    frame.to_parquet(tmp_path / "binance_BTCUSDT_5m.parquet")
    code, told, _ = command("data", "check", "binance_BTCUSDT_5m.parquet", "--features", "fund*")
    assert code == 0
    assert "ignored columns: other" in told
    code, _, wrong = command("data", "check", "binance_BTCUSDT_5m.parquet", "--features", "none*")
    assert code == 2
    assert "No column of the files is named by features: none*. There are: funding, other." in wrong


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExchangeServer]:
    """An exchange on this machine that holds 30 days of 5-minute bars, in the place of the real one."""
    with exchange_server() as server:
        first = int(START.timestamp() * 1000)
        server.klines = {first + index * STEP: kline(first + index * STEP) for index in range(288 * 30)}
        server.now = first + 288 * 30 * STEP
        server.page = 1000

        def connect(name: str) -> Client:
            client = Client(name, sleep=lambda _: None)
            client.api.urls["api"]["public"] = f"{server.url}/api/v3"
            client.api.enableRateLimit = False
            return client

        monkeypatch.setattr(fetch, "Client", connect)
        yield server


def test_fetch_fills_the_store_and_a_second_time_asks_for_nothing(
    tmp_path: Path, command: Command, exchange: ExchangeServer
) -> None:
    args = ("data", "fetch", "--symbols", "BTCUSDT", "--days", "3", "--until", "2024-01-11", "--store", "store")
    code, told, wrong = command(*args)
    assert code == 0, wrong
    assert "wrote store/binance_BTCUSDT_5m.parquet" in told
    held = pd.read_parquet(tmp_path / "store" / "binance_BTCUSDT_5m.parquet")
    assert (held["timestamp"].iloc[0], len(held)) == (pd.Timestamp("2024-01-08", tz="UTC"), 3 * 288)
    before = exchange.counts()["klines"]
    assert command(*args)[0] == 0
    assert exchange.counts()["klines"] == before


def test_a_run_fetches_what_the_store_lacks(tmp_path: Path, command: Command, exchange: ExchangeServer) -> None:
    # The space asks for a batch that the data cannot fill: the run ends after fetching, before Ray.
    (tmp_path / "c.yaml").write_text("name: x\nspace: {batch_size: {values: [100000]}}\n")
    args = ("run", "c.yaml", "--symbols", "BTCUSDT", "--days", "20", "--until", "2024-01-31", "--store", "store")
    code, _, wrong = command(*args)
    assert code == 2
    assert "A batch of 100000 is larger than" in wrong
    assert len(pd.read_parquet(tmp_path / "store" / "binance_BTCUSDT_5m.parquet")) == 20 * 288


def test_offline_fetches_nothing(tmp_path: Path, command: Command, exchange: ExchangeServer) -> None:
    (tmp_path / "store").mkdir()
    code, _, wrong = command(
        "run", "--name", "x", "--symbols", "BTCUSDT", "--days", "9", "--store", "store", "--offline"
    )
    assert code == 2
    assert "The store store has no 5m bars of BTCUSDT" in wrong
    assert exchange.counts() == {}


def test_without_a_network_it_says_so_and_names_the_other_ways(
    command: Command, exchange: ExchangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(name: str) -> Client:
        client = Client(name, sleep=lambda _: None)
        client.api.urls["api"]["public"] = "http://127.0.0.1:9/api/v3"
        return client

    monkeypatch.setattr(fetch, "Client", nowhere)
    code, _, wrong = command("run", "--name", "x", "--symbols", "BTCUSDT", "--days", "9", "--store", "store")
    assert code == 2
    assert "--data" in wrong
    assert "--store" in wrong
    assert wrong.count("\n") <= 2  # a bar that did not move, and one line


@pytest.mark.parametrize("args", [("check", "--help"), ("fetch", "--help")])
def test_help_has_examples(command: Command, args: tuple[str, ...]) -> None:
    code, told, _ = command("data", *args)
    assert code == 0
    assert "Example" in told
