"""Columns of other programs' files: which becomes which column of bars, and what has to be converted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from core.config.data import canonical_symbol
from core.data.file_format import PRICES, REQUIRED, TAKER_FLOW
from core.errors import DataError

COIN_MARGINED = "binancecoinm"
"""Name of the exchange whose klines count contracts."""
_NAMES: dict[str, tuple[str, ...]] = {
    "timestamp": ("timestamp", "open_time", "opentime", "unix", "time", "datetime", "date", "ts"),
    **{name: (name,) for name in PRICES},
    "volume": ("volume", "vol", "base_volume"),
    "quote_volume": ("quote_volume", "quote_asset_volume", "volume_currency", "amount"),
    "trades": ("trades", "count", "number_of_trades", "tradecount", "trade_count"),
    "taker_buy_base": ("taker_buy_base", "taker_buy_volume", "taker_buy_base_asset_volume", "taker_buy_base_volume"),
    "taker_buy_quote": ("taker_buy_quote", "taker_buy_quote_volume", "taker_buy_quote_asset_volume"),
}
"""Names of each column in known layouts, the preferred first; spaces, brackets and capitals do not count."""
_SYMBOL_NAMES = ("symbol", "pair", "ticker")
"""Names of a column that says which symbol a row is of."""
_ADJUSTED_NAMES = ("adj_close", "adjclose", "adjusted_close")
"""Names of a closing price in which dividends are accounted for, beside which open, high and low are as traded."""
_MIN_QUOTE = 3
"""Number of letters of a currency in which prices are quoted."""
_MAX_SHOWN = 5
_TOLERANCE = 0.1
"""Limit of the relative error of the price at which a bar's volume was traded, if its close is taken for it."""


def map_columns(name: str, present: Sequence[str], symbol: str, columns: Mapping[str, str]) -> dict[str, str]:
    """Return the column of a file for each column of bars that it has.

    Args:
        name: name of the file, for messages.
        present: columns of the file.
        symbol: name of the symbol.
        columns: column of the file by the column that it is to become, as the caller says.

    Raises:
        DataError: a column that bars must have has no known name, or the file lacks a column that the caller names.
    """
    for column, chosen in columns.items():
        if column not in _NAMES:
            raise DataError(f"{column} is not a column of bars", f"Name one of: {', '.join(_NAMES)}")
        if chosen not in present:
            raise DataError(f"{name} has no column {chosen!r}", f"Name one that it has: {', '.join(present)}")
    plain = {_plain(column): column for column in reversed(present)}
    mapped = dict(columns)
    for column, names in _NAMES.items():
        found = [plain[known] for known in names if known in plain]
        if column in ("volume", "quote_volume"):
            found += [original for key, original in plain.items() if _counts(key, column, symbol)]
        if column not in mapped and found and found[0] not in mapped.values():
            mapped[column] = found[0]
    missing = [column for column in REQUIRED if column not in mapped]
    if missing:
        raise DataError(
            f"{name} has no known name for {', '.join(missing)} (it has {', '.join(present)})",
            f"Say which column it is with --columns {missing[0]}=NAME",
        )
    return mapped


def _counts(key: str, column: str, symbol: str) -> bool:
    """Return whether a name such as `volume_btc` (CryptoDataDownload) counts the base or the quoted currency."""
    word, _, currency = key.partition("_")
    is_part = symbol.startswith if column == "volume" else symbol.endswith
    return word == "volume" and len(currency) > 1 and is_part(currency.upper())


def _plain(column: str) -> str:
    """Return the name of a column in small letters, with an underscore in place of all but letters and digits."""
    return re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")


def check_symbol_column(name: str, table: pd.DataFrame, symbol: str, mapped: Mapping[str, str]) -> None:
    """Refuse a table of which a column says that it holds another symbol, or several.

    Args:
        name: name of the file, for messages.
        table: the table as it was read.
        symbol: name of the symbol that is imported.
        mapped: column of the table by the column of bars that it becomes.
    """
    for column in table.columns:
        if _plain(column) not in _SYMBOL_NAMES or column in mapped.values():
            continue
        held = list(dict.fromkeys(str(value).strip() for value in table[column].dropna().unique()))
        if len({canonical_symbol(value) for value in held}) > 1:
            shown = ", ".join(held[:_MAX_SHOWN]) + (" and more" if held[_MAX_SHOWN:] else "")
            raise DataError(
                f"{name} holds several symbols by its column {column}: {shown}", "Make a file of each of them"
            )
        if held and not _means(held[0], symbol):
            raise DataError(
                f"{name} holds {held[0][:40]} by its column {column}, not {symbol}",
                f"Say --symbol {canonical_symbol(held[0])[:40]}, or take the column out if it means something else",
            )


def _means(value: str, symbol: str) -> bool:
    """Return whether a text such as BTC/USDT, X:BTCUSD, BTCUSD_PERP, or the base alone, means a symbol."""
    pieces = {canonical_symbol(piece) for piece in [value, *value.split(":")]}
    is_base = any(piece and symbol.startswith(piece) and len(symbol) - len(piece) >= _MIN_QUOTE for piece in pieces)
    return is_base or not pieces.isdisjoint({symbol, f"{symbol}PERP"})


def traded_close(present: Sequence[str], mapped: Mapping[str, str]) -> str | None:
    """Return the column that holds the close as traded, where that adjusted for dividends becomes the close.

    Args:
        present: columns of the file.
        mapped: column of the file by the column of bars that it becomes.
    """
    if _plain(mapped["close"]) not in _ADJUSTED_NAMES:
        return None
    return next((column for column in present if _plain(column) == "close"), None)


def adjust_prices(frame: pd.DataFrame, traded: pd.Series, mapped: Mapping[str, str]) -> str:
    """Scale open, high and low of bars as their close is, which is adjusted for dividends, as the others are not.

    Args:
        frame: the bars, which are changed.
        traded: the close as traded, a row for each bar.
        mapped: column of the file by the column of bars that it became.

    Returns:
        What was done, in a sentence without its full stop.
    """
    factor = frame["close"] / traded
    is_highest, is_lowest = (frame[column] == traded for column in ("high", "low"))
    for column in PRICES[:-1]:
        frame[column] *= factor
    # A rounding error must not put the close above the high that it was, nor below the low.
    frame["high"] = np.where(is_highest, np.fmax(frame["high"], frame["close"]), frame["high"])
    frame["low"] = np.where(is_lowest, np.fmin(frame["low"], frame["close"]), frame["low"])
    others = ", ".join(mapped[column] for column in PRICES[:-1])
    return f"{others} were multiplied by {mapped['close']} / {traded.name}, so that all prices are adjusted alike"


def convert_contracts(
    name: str, frame: pd.DataFrame, symbol: str, mapped: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    """Convert Binance's coin-margined klines, which count contracts, to volumes in the base and in dollars.

    They have contracts where other klines have the base, and the base where those have the quote. Bars that have the
    base and dollars already, such as those that were fetched, are left as they are.

    Args:
        name: name of the file, for messages.
        frame: the bars, which are changed.
        symbol: name of the symbol, for example BTCUSD.
        mapped: column of the file by the column of bars that it became.

    Returns:
        Column of the file by the column of bars that it became now, and what was done, in a sentence without its full
        stop; empty if nothing was.

    Raises:
        DataError: the volumes fit neither contracts nor the base.
    """
    if "quote_volume" not in frame:
        return dict(mapped), "Its volume was taken for one in the base; Binance's own klines count contracts"
    size = 100.0 if symbol.startswith("BTC") else 10.0
    traded = frame[(frame["volume"] > 0) & (frame["quote_volume"] > 0)]
    ratio, price = traded["quote_volume"] / traded["volume"], traded["close"]
    if len(traded) and not _is_about(ratio * price, size):
        if _is_about(ratio / price, 1.0):
            return dict(mapped), ""
        raise DataError(
            f"{name} has volumes that fit neither contracts of {size:g} dollars nor {symbol}'s base",
            "Leave its quote volume out, and give its volume in the base",
        )
    if len({*TAKER_FLOW[2:]} & set(frame)) == 1:
        raise DataError(
            f"{name} has one of the columns {' and '.join(TAKER_FLOW[2:])} without the other",
            "Take it out: contracts are converted to both",
        )
    become = dict(mapped)
    for base, quote in (("volume", "quote_volume"), ("taker_buy_base", "taker_buy_quote")):
        if base in frame and quote in frame:
            frame[base], frame[quote] = frame[quote].copy(), frame[base] * size
            become[base], become[quote] = mapped[quote], mapped[base]
    return become, f"Volumes counted contracts of {size:g} dollars each, and were converted to the base and to dollars"


def _is_about(values: pd.Series, expected: float) -> bool:
    """Return whether the median of some values is about as expected."""
    return bool(abs(float(values.median()) / expected - 1) < _TOLERANCE)
