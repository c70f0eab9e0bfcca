from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.bars import read_bar_file
from core.data.file_format import PRICES, REQUIRED, interval_microseconds
from core.data.sources import fetch
from core.data.sources.exchange import ExchangeClient
from core.data.sources.store import FetchRange
from tests.helpers.exchange_server import STEP, ExchangeServer, exchange_server, kline
from tests.helpers.market import random_bars
from tests.helpers.training_commands import Command

START = pd.Timestamp("2024-01-01", tz="UTC")


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExchangeServer]:
    """An exchange on this machine that has 30 days of 5-minute bars and takes the place of the real one."""
    with exchange_server() as server:
        first = int(START.timestamp() * 1000)
        server.klines = {first + index * STEP: kline(first + index * STEP) for index in range(288 * 30)}
        server.now = first + 288 * 30 * STEP
        server.page_size = 1000

        def connect(name: str) -> ExchangeClient:
            client = ExchangeClient(name, sleep=lambda _: None)
            client.api.urls["api"]["public"] = f"{server.url}/api/v3"
            client.api.enableRateLimit = False
            return client

        monkeypatch.setattr(fetch, "ExchangeClient", connect)
        yield server


def test_fetch_fills_the_store_and_requests_nothing_a_second_time(
    tmp_path: Path, command: Command, exchange: ExchangeServer
) -> None:
    args = ("data", "fetch", "--symbols", "BTCUSDT", "--days", "3", "--until", "2024-01-11", "--store", "my store")
    code, output, error = command(*args)
    assert code == 0, error
    assert "wrote my store/binance_BTCUSDT_5m.parquet" in output
    assert "next: preset-search data check 'my store'/binance_*_5m.parquet" in output
    held = pd.read_parquet(tmp_path / "my store" / "binance_BTCUSDT_5m.parquet")
    assert (held["timestamp"].iloc[0], len(held)) == (pd.Timestamp("2024-01-08", tz="UTC"), 3 * 288)
    before = exchange.counts()["klines"]
    assert command(*args)[0] == 0
    assert exchange.counts()["klines"] == before


def test_a_run_fetches_missing_bars(tmp_path: Path, command: Command, exchange: ExchangeServer) -> None:
    # The space asks for a batch that the data cannot fill: the run ends after fetching, before Ray.
    (tmp_path / "c.yaml").write_text("name: x\nspace: {batch_size: {values: [100000]}}\n")
    args = ("run", "c.yaml", "--symbols", "BTCUSDT", "--days", "20", "--until", "2024-01-31", "--store", "store")
    code, _, error = command(*args)
    assert code == 2
    assert "A batch of 100000 is larger than" in error
    assert len(pd.read_parquet(tmp_path / "store" / "binance_BTCUSDT_5m.parquet")) == 20 * 288


def test_offline_fetches_nothing(tmp_path: Path, command: Command, exchange: ExchangeServer) -> None:
    (tmp_path / "store").mkdir()
    code, _, error = command(
        "run", "--name", "x", "--symbols", "BTCUSDT", "--days", "9", "--store", "store", "--offline"
    )
    assert code == 2
    assert "The store store has no 5m bars of BTCUSDT" in error
    assert exchange.counts() == {}


def test_without_a_network_the_error_names_the_other_sources(
    command: Command, exchange: ExchangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect_to_nothing(name: str) -> ExchangeClient:
        client = ExchangeClient(name, sleep=lambda _: None)
        client.api.urls["api"]["public"] = "http://127.0.0.1:9/api/v3"
        return client

    monkeypatch.setattr(fetch, "ExchangeClient", connect_to_nothing)
    code, _, error = command("run", "--name", "x", "--symbols", "BTCUSDT", "--days", "9", "--store", "store")
    assert code == 2
    assert "--data" in error
    assert "--store" in error
    assert error.count("\n") <= 2  # a progress bar that did not move, and one line


@pytest.mark.parametrize("args", [("check", "--help"), ("fetch", "--help")])
def test_help_has_examples(command: Command, args: tuple[str, ...]) -> None:
    code, output, _ = command("data", *args)
    assert code == 0
    assert "Example" in output


DOCS = Path(__file__).parents[3] / "docs" / "data.md"
IMPORTS = [line.strip() for line in DOCS.read_text().splitlines() if line.startswith("    preset-search data import")]


def _source_file(path: Path, interval: str) -> None:
    """Write a file as the source that its name stands for writes it."""
    frame = random_bars(600).frame
    bar = pd.Timedelta(microseconds=interval_microseconds(interval))
    frame["timestamp"] = pd.date_range("2024-03-01", periods=600, freq=bar, tz="UTC")
    if "2025" in path.name:
        half = slice(0, 350) if path.name.endswith("01.zip") else slice(300, 600)
        opened = frame["timestamp"][half].dt.as_unit("us").astype("int64")
        rows = frame[half][[*PRICES, "volume"]]
        rows.insert(0, "timestamp", opened)
        for name, value in {"end": 0, "quote": 1e9, "count": 1, "buy": 0.0, "buy_quote": 1.0, "ignore": 0}.items():
            rows[name] = value
        rows.to_csv(path, index=False, header=False, compression={"method": "zip", "archive_name": "klines.csv"})
    elif path.suffix == ".feather":
        frame[list(REQUIRED)].rename(columns={"timestamp": "date"}).to_feather(path)
    elif path.name.startswith("Binance"):
        rows = (
            frame[::-1]
            .rename(columns={"volume": "Volume BTC"})
            .assign(unix=frame["timestamp"].dt.as_unit("s").astype("int64"))
        )
        path.write_text("https://www.CryptoDataDownload.com\n" + rows.drop(columns="timestamp").to_csv(index=False))
    elif path.name.startswith("bitstamp"):
        rows = frame[list(REQUIRED)].assign(timestamp=frame["timestamp"].dt.as_unit("s").astype("int64"))
        rows.loc[[5, 9], ["open", "high", "low", "close", "volume"]] = np.nan
        rows.rename(columns={"timestamp": "Timestamp", "volume": "Volume_(BTC)"}).to_csv(path, index=False)
    else:
        # Yahoo: all prices but one as they were traded.
        rows = frame[list(REQUIRED)].assign(adj=frame["close"] * np.linspace(0.7, 1.0, 600))
        rows.columns = pd.Index(["Date", "Open", "High", "Low", "Close", "Volume", "Adj Close"])
        rows.to_csv(path, index=False)


@pytest.mark.parametrize("line", IMPORTS)
def test_every_import_in_the_docs_gives_bars_that_can_be_checked(line: str, tmp_path: Path, command: Command) -> None:
    words = shlex.split(line)[1:]
    interval = words[words.index("--interval") + 1]
    for name in words[2 : words.index("--exchange")]:
        _source_file(tmp_path / name, interval)
    code, output, error = command(*words)
    assert code == 0, error
    (path,) = (tmp_path / "data").glob("*.parquet")
    rows = 598 if "bitstamp" in line else 600
    assert f"wrote data/{path.name}: {rows} bars from 2024-03-01T00:00:00+00:00" in output
    assert f"next: preset-search data check data/{path.name}" in output
    before = path.read_bytes()
    assert command(*words)[0] == 0
    assert path.read_bytes() == before  # the same files again change nothing
    assert len(read_bar_file(path).frame) == rows - 1


def test_the_settings_in_the_docs_are_read(tmp_path: Path, command: Command) -> None:
    text = DOCS.read_text()
    (block,) = re.findall(r"^    data:\n(?:    .*\n)+", text, re.M)
    (tmp_path / "campaign.yaml").write_text(textwrap.dedent(block))
    (tmp_path / "data").mkdir()
    frame = random_bars(6000).frame
    rows = np.arange(6000)
    columns = {"open_interest": rows % 7.0, "funding_rate": np.where(rows % 96 == 0, rows % 5, np.nan)}
    frame.assign(**columns).to_parquet(tmp_path / "data" / "binance_BTCUSDT_5m.parquet")
    plain, with_columns = (
        command("data", "check", *args) for args in (["data/binance_BTCUSDT_5m.parquet"], ["--config", "campaign.yaml"])
    )
    counts = [int(re.findall(r"(\d+) features", output)[0]) for _, output, _ in (plain, with_columns)]
    assert counts[1] == counts[0] + 2


def test_the_check_in_the_docs_reads_a_file_of_another_program(tmp_path: Path, command: Command) -> None:
    (line,) = (
        line.strip() for line in DOCS.read_text().splitlines() if line.startswith("    preset-search data check")
    )
    words = shlex.split(line)[1:]
    random_bars(6000).frame.rename(columns={"timestamp": "date"}).to_feather(tmp_path / words[-1])
    code, _, error = command(*words)
    assert code == 0, error
    assert "6,000 5m bars of BTCUSDT from binance (assumed: --exchange names another" in " ".join(error.split())
    code, _, error = command(*words, "--exchange", "kraken")
    assert code == 0, error
    assert "6,000 5m bars of BTCUSDT from kraken. " in " ".join(error.split())


@pytest.mark.parametrize("verb", ["check", "import"])
def test_a_folder_of_downloads_with_checksums_is_read(verb: str, tmp_path: Path, command: Command) -> None:
    frame = random_bars(6000).frame.rename(columns={"timestamp": "date"})
    frame["date"] = frame["date"].dt.as_unit("ms").astype("int64")
    (tmp_path / "down").mkdir()
    for month, rows in enumerate((frame[:3000], frame[3000:]), start=1):
        path = tmp_path / "down" / f"BTCUSDT-5m-2024-{month:02}.csv"
        rows.to_csv(path, index=False)
        path.with_name(f"{path.name}.CHECKSUM").write_text(f"{'0' * 64}  {path.name}\n")
    options = ["--exchange", "binance", "--symbol", "BTCUSDT", "--interval", "5m"] if verb == "import" else []
    code, output, error = command("data", verb, "down", *options)
    assert code == 0, error
    assert "Ignored down/BTCUSDT-5m-2024-01.csv.CHECKSUM and 1 more: checksums, locks and" in error
    assert ("6,000 bars" if verb == "import" else "20.8 days") in output


@pytest.mark.parametrize("name", ["binance_BTCUSDT_5m.parquet", "binance_BTCUSDT_60m.parquet"])
def test_the_command_that_an_error_names_imports_a_file_that_is_only_named_like_parquet(
    name: str, tmp_path: Path, command: Command
) -> None:
    path = tmp_path / "my data" / name
    path.parent.mkdir()
    interval = name[16:-8]
    random_bars(6000, interval=interval).frame.to_csv(path, index=False)
    before = path.read_bytes()
    options = f"--exchange binance --symbol BTCUSDT --interval {interval} --store".split()
    for verb, words in (("check", []), ("import", [*options, str(path.parent)])):
        code, _, error = command("data", verb, str(path), *words)
        assert code == 2
        assert "is a CSV file, not" in error
        line = " ".join(error.split()).partition("Import it: preset-search ")[2].rstrip(".")
        code, output, error = command(*shlex.split(line))
        assert code == 0, error
        assert "6,000 bars" in output
    assert path.read_bytes() == before
    imported = path.parent / "imported" / f"binance_BTCUSDT_{'1h' if '60m' in name else '5m'}.parquet"
    assert len(read_bar_file(imported).frame) == 5999


def test_there_are_imports_in_the_docs() -> None:
    assert len(IMPORTS) >= 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gone.csv"], "gone.csv cannot be read (No such file or directory)"),
        (["*.csv"], "No file matches *.csv"),
        (["x.txt"], "x.txt has no known name for timestamp, open, high, low, close, volume"),
        (["x.txt", "--columns", "close"], "--columns close names no column. Write it as close=Last."),
        (["x.txt", "--interval", "1M"], "command line: 'interval'"),
        (["x.txt", "--exchange", "a b"], "command line: 'exchange'"),
        (["x.txt", "--symbol", "BRK.B"], "'BRK.B' is not a symbol. Write it like BRKB."),
        (["x.txt", "--symbol", "BTC?USDT"], "'BTC?USDT' is not a symbol. Write it like BTCUSDT."),
        (["x.txt", "--symbol", "../BTC"], "'..BTC' is not a symbol. Write it like BTC."),
        (["x.txt", "--symbol", "?"], "'?' is not a symbol. Write it like BTCUSDT."),
    ],
)
def test_an_import_that_cannot_be_is_one_line_and_leaves_nothing(
    words: list[str], message: str, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "x.txt").write_text("a,b\n1,2\n")
    given = {"--exchange": "binance", "--symbol": "BTCUSDT", "--interval": "5m"}
    options = [part for pair in given.items() if pair[0] not in words for part in pair]
    code, _, error = command("data", "import", *words, *options)
    assert code == 2
    assert " ".join(error.split()).startswith(f"error: {message}")
    assert not (tmp_path / "data").exists()


def test_imported_bars_that_contradict_the_store_change_nothing(tmp_path: Path, command: Command) -> None:
    frame = random_bars(100).frame
    words = ("--exchange", "binance", "--symbol", "BTCUSDT", "--interval", "5m")
    frame.iloc[:60].to_csv(tmp_path / "a.csv", index=False)
    frame.assign(close=frame["open"])[50:].to_csv(tmp_path / "b.csv", index=False)
    assert command("data", "import", "a.csv", *words)[0] == 0
    (path,) = (tmp_path / "data").glob("*.parquet")
    before = path.read_bytes()
    code, _, error = command("data", "import", "b.csv", *words)
    assert (code, path.read_bytes()) == (2, before)
    assert "Two files have different bars of BTCUSDT at 2024-03-01 04:10:00" in " ".join(error.split())


def test_a_last_bar_that_was_imported_while_it_was_open_is_replaced(tmp_path: Path, command: Command) -> None:
    frame = random_bars(100).frame[list(REQUIRED)]
    words = ("--exchange", "binance", "--symbol", "BTCUSDT", "--interval", "5m")
    evening = tmp_path / "evening.csv"
    frame.to_csv(evening, index=False)
    noon = frame.copy()
    noon.loc[99, "volume"] /= 2
    noon.to_csv(tmp_path / "noon.csv", index=False)
    for name, is_replaced in (("noon", False), ("evening", True), ("evening", False)):
        code, output, error = command("data", "import", f"{name}.csv", *words)
        assert code == 0, error
        said = "The bar of 2024-03-01T08:15:00+00:00, the last one that was stored, may have been open then"
        assert (said in " ".join(output.split())) == is_replaced
    (path,) = (tmp_path / "data").glob("*.parquet")
    pd.testing.assert_series_equal(pd.read_parquet(path)["volume"], frame["volume"])
    noon.loc[98, "volume"] /= 2  # an earlier bar has closed
    noon.to_csv(tmp_path / "noon.csv", index=False)
    code, _, error = command("data", "import", "noon.csv", *words)
    assert code == 2
    assert "Two files have different bars of BTCUSDT at 2024-03-01 08:10:00" in " ".join(error.split())


def test_an_import_says_where_further_columns_end(tmp_path: Path, command: Command) -> None:
    frame = random_bars(100).frame
    (tmp_path / "data").mkdir()
    frame.iloc[:60][[*REQUIRED]].assign(note="mine").to_parquet(tmp_path / "data" / "binance_BTCUSDT_5m.parquet")
    frame.iloc[50:].to_csv(tmp_path / "b.csv", index=False)
    code, _, error = command(
        "data", "import", "b.csv", "--exchange", "binance", "--symbol", "BTCUSDT", "--interval", "5m"
    )
    assert code == 0, error
    assert "note ends at 2024-03-01T04:55:00+00:00; 40 later bars have no value" in error
    held = pd.read_parquet(tmp_path / "data" / "binance_BTCUSDT_5m.parquet")
    assert list(held["note"].dropna()) == ["mine"] * 60


FETCHES = [line.strip() for line in DOCS.read_text().splitlines() if line.startswith("    preset-search data fetch")]


@pytest.mark.parametrize("line", FETCHES)
def test_every_fetch_in_the_docs_names_an_exchange_with_bars_of_that_length(
    line: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[FetchRange] = []

    def check(store: Path, interval: str, ranges: Sequence[FetchRange]) -> list[Path]:
        ExchangeClient(ranges[0].exchange).check_interval(interval)
        asked.extend(ranges)
        return []

    monkeypatch.setattr(fetch, "fetch_ranges", check)
    code, _, error = command(*shlex.split(line)[1:])
    assert code == 0, error
    assert asked


def test_there_are_fetches_of_spot_and_of_swaps_in_the_docs() -> None:
    assert {line.rpartition(" ")[-1] for line in FETCHES} >= {"binance", "binanceusdm", "binancecoinm"}
