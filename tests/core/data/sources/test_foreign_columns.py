"""Columns of other programs' files: whose bars they hold, and what has to be converted."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.bars import Bars
from core.data.file_format import REQUIRED
from core.data.sources.archive import ImportedPart, import_bars
from core.data.validation import find_problems
from core.errors import DataError
from tests.helpers.market import random_bars

BARS = random_bars(40).frame[list(REQUIRED)]
MILLISECONDS = BARS["timestamp"].to_numpy("datetime64[ms]").astype(np.int64)
CONTRACTS = np.arange(40.0) * 7


def _import(
    path: Path, exchange: str = "binance", symbol: str = "BTCUSDT", columns: dict[str, str] | None = None
) -> tuple[Bars, ImportedPart]:
    interval = "1d" if "Adj" in path.read_text(errors="ignore") else "5m"
    bars, (part,) = import_bars([path], exchange, symbol, interval, columns)
    return bars, part


def _write(path: Path, **columns: object) -> Path:
    BARS.assign(**columns).to_csv(path, index=False)
    return path


def _coin_margined(path: Path, size: float = 100.0, **columns: object) -> Path:
    """Write klines as Binance archives them for its coin-margined swaps, since 2025 with a header."""
    base = CONTRACTS * size / BARS["close"]
    klines = BARS[["open", "high", "low", "close"]].assign(
        volume=CONTRACTS, close_time=MILLISECONDS + 299_999, quote_volume=base, count=3, taker_buy_volume=CONTRACTS / 7,
        taker_buy_quote_volume=base / 7, ignore=0,
    )  # fmt: skip
    klines.insert(0, "open_time", MILLISECONDS)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(path.with_suffix(".csv").name, klines.assign(**columns).to_csv(index=False))
    return path


@pytest.mark.parametrize(("symbol", "size"), [("BTCUSD", 100.0), ("ETHUSD", 10.0)])
def test_contracts_are_converted_to_the_base_and_to_dollars(tmp_path: Path, symbol: str, size: float) -> None:
    path = _coin_margined(tmp_path / f"{symbol}_PERP-5m-2025-01.zip", size)
    bars, part = _import(path, "binancecoinm", symbol)
    base = CONTRACTS * size / BARS["close"].to_numpy()
    for column, values in {
        "volume": base,
        "quote_volume": CONTRACTS * size,
        "taker_buy_base": base / 7,
        "taker_buy_quote": CONTRACTS / 7 * size,
    }.items():
        np.testing.assert_allclose(bars.frame[column], values, rtol=1e-12)
    assert (part.mapped["volume"], part.mapped["taker_buy_quote"]) == ("quote_volume", "taker_buy_volume")
    assert f"Volumes counted contracts of {size:g} dollars each" in part.describe_columns()
    with pytest.raises(DataError, match=r"which binance does not list\. Say --exchange binancecoinm"):
        _import(path, "binance", symbol)


def test_volumes_of_a_coin_margined_swap_that_are_converted_already_are_kept(tmp_path: Path) -> None:
    path = _write(tmp_path / "x.csv", quote_volume=BARS["volume"] * BARS["close"])
    bars, _ = _import(path, "binancecoinm", "BTCUSD")
    np.testing.assert_array_equal(bars.frame["volume"], BARS["volume"])
    _, part = _import(_write(tmp_path / "x.csv"), "binancecoinm", "BTCUSD")
    assert "Its volume was taken for one in the base" in part.describe_columns()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"quote_volume": BARS["volume"] * 3}, "fit neither contracts of 100 dollars nor BTCUSD's base"),
        (
            {"quote_volume": BARS["volume"] * 100 / BARS["close"], "taker_buy_base": 1.0},
            "taker_buy_base and taker_buy_quote without the other",
        ),
    ],
)
def test_volumes_that_may_be_anything_are_refused(tmp_path: Path, columns: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        _import(_write(tmp_path / "x.csv", **columns), "binancecoinm", "BTCUSD")


@pytest.mark.parametrize(
    "value", ["BTCUSDT", "BTC/USDT", "btc-usdt", "BTC/USDT:USDT", "X:BTCUSDT", "BTCUSDT_PERP", "BTC"]
)
@pytest.mark.parametrize("column", ["symbol", "Pair", "TICKER"])
def test_a_column_that_names_the_symbol_may_do_so_in_many_ways(tmp_path: Path, column: str, value: str) -> None:
    bars, part = _import(_write(tmp_path / "x.csv", **{column: value}))
    assert len(bars.frame) == 40
    assert part.dropped == (column,)


@pytest.mark.parametrize("value", ["ETHUSDT", "ETH/BTC", "BTCUSD", "BTCUSDTX", "0"])
@pytest.mark.parametrize("column", ["symbol", "Pair", "ticker"])
def test_a_column_that_names_another_symbol_is_refused(tmp_path: Path, column: str, value: str) -> None:
    with pytest.raises(DataError, match=f"holds {value} by its column {column}, not BTCUSDT"):
        _import(_write(tmp_path / "x.csv", **{column: value}))


def test_a_file_of_several_symbols_is_refused(tmp_path: Path) -> None:
    symbols = np.where(np.arange(40) < 20, "BTCUSDT", "ETHUSDT")
    with pytest.raises(DataError, match=r"holds several symbols by its column symbol: BTCUSDT, ETHUSDT\. Make a file"):
        _import(_write(tmp_path / "x.csv", symbol=symbols))


def test_prices_beside_an_adjusted_close_are_adjusted_like_it(tmp_path: Path) -> None:
    path = tmp_path / "yahoo.csv"
    factor = np.linspace(0.7, 1.0, 40)
    days = pd.date_range("2024-01-01", periods=40, freq="1D")
    yahoo = BARS.assign(Date=days, adj=(BARS["close"] * factor).round(6)).rename(columns=str.capitalize)
    yahoo.loc[3, "High"] = yahoo.loc[3, "Close"]  # a close at the high stays there
    yahoo = yahoo.rename(columns={"Adj": "Adj Close"})
    yahoo[["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"]].to_csv(path, index=False)
    bars, part = _import(path, symbol="SPY", columns={"close": "Adj Close"})
    assert find_problems(bars.frame, bars.bar) == []
    for column in ("open", "high", "low"):
        np.testing.assert_allclose(bars.frame[column], yahoo[column.capitalize()] * factor, rtol=1e-8)
    np.testing.assert_array_equal(bars.frame["close"], yahoo["Adj Close"])
    assert "Open, High, Low were multiplied by Adj Close / Close" in part.describe_columns()
    plain, _ = _import(path, symbol="SPY")
    np.testing.assert_array_equal(plain.frame["close"], yahoo["Close"])
