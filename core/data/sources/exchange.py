"""A client of one exchange, which fetches bars through ccxt.

Exchanges count in milliseconds; `ExchangeClient` takes and returns microseconds, as all of `core.data`.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.request import getproxies

import numpy as np

from core.data.file_format import DAY, REQUIRED, TAKER_FLOW, interval_microseconds
from core.data.sources.store import TimeRange
from core.errors import ConfigError, DataError

Row = tuple[float, ...]
"""A bar: when it opens, then its other columns in the order of `ExchangeClient.columns`."""
Answer = TypeVar("Answer")

_MILLISECOND = 1000  # in microseconds
_UNIFIED = (1, 2, 3, 4, 5)
"""Positions of the columns after the timestamp in ccxt's unified bars, which drop the taker flow."""
_SPOT, _SWAP = "spot market", "perpetual swap"
"""What an exchange's symbols stand for: spot markets, or perpetual swaps if it lists nothing but derivatives."""
# Bars per page where ccxt does not know the exchange's limit: asking for more than it gives would leave holes.
_CAUTIOUS_LIMIT = 100

_ATTEMPTS = 6
_ATTEMPTS_TO_REACH = 2
_MAX_WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class _Klines:
    """Where and how an exchange of Binance gives its own bars, which have the taker flow.

    Attributes:
        endpoint: name of ccxt's method that sends them.
        market_type: ccxt's name for the kind of market that is fetched.
        positions: positions of the columns after the timestamp.
        contracts: positions, among these, of the columns that count contracts, whose size is a sum of the quote.
        max_days: number of days that one request may span; None if it may span any, and the first bars of it are sent.
    """

    endpoint: str
    market_type: str
    positions: tuple[int, ...] = (1, 2, 3, 4, 5, 7, 8, 9, 10)
    contracts: tuple[int, ...] = ()
    max_days: int | None = None


# Coin-margined klines have contracts where the others have the base asset, and the base asset where those have the
# quote: with both exchanged, and contracts multiplied by their size in dollars, the columns mean the same in all.
_KLINES = {
    "binance": _Klines("publicGetKlines", "spot"),
    "binanceus": _Klines("publicGetKlines", "spot"),
    "binanceusdm": _Klines("fapiPublicGetKlines", "linear"),
    "binancecoinm": _Klines("dapiPublicGetKlines", "inverse", (1, 2, 3, 4, 7, 5, 8, 10, 9), (5, 8), max_days=200),
}
_KLINE_LIMIT = 1000


class _UnusableAnswerError(Exception):
    """The exchange sent an answer that does not contain what was requested."""


class ExchangeClient:
    """A client of one exchange that keeps to its rate limit, retries when it fails, and never sends a key.

    Args:
        exchange: name of the exchange in ccxt, for example binance.
        sleep: function that waits for a number of seconds.
        rng: source of the spread of waits, so that clients which failed together do not come back together.

    Raises:
        ConfigError: ccxt does not know the exchange.
    """

    def __init__(
        self, exchange: str, *, sleep: Callable[[float], object] = time.sleep, rng: np.random.Generator | None = None
    ) -> None:
        import ccxt  # half a second, and only those who fetch need it

        if exchange not in ccxt.exchanges:
            raise ConfigError(f"There is no exchange {exchange}", _nearest(exchange, ccxt.exchanges))
        self.exchange = exchange
        self._klines = _KLINES.get(exchange)
        self.columns = REQUIRED + TAKER_FLOW if self._klines else REQUIRED
        # ccxt hides the environment from its HTTP library: the passwords in ~/.netrc, but also the proxy.
        settings: dict[str, Any] = {
            "enableRateLimit": True,
            "enableLastJsonResponse": True,
            "httpsProxy": getproxies().get("https"),
        }
        if self._klines:
            settings["options"] = {"fetchMarkets": {"types": [self._klines.market_type]}}
        self.api: Any = getattr(ccxt, exchange)(settings)
        self._market_kind = _SPOT if self.api.has["spot"] else _SWAP
        self._sleep = sleep
        self._rng = rng or np.random.default_rng()
        self._reached = False

    def check_interval(self, interval: str) -> None:
        """Check that the exchange has bars of this interval.

        Raises:
            ConfigError: the exchange does not offer it.
        """
        names = self.api.timeframes or () if self.api.has["fetchOHLCV"] is True else ()
        offered = [name for name in names if re.fullmatch(r"[1-9]\d*[mhd]", name)]
        if interval not in offered:
            raise ConfigError(
                f"{self.exchange} does not offer bars of {interval}",
                f"Choose one of {', '.join(offered)}" if offered else "Choose another exchange",
            )

    def market(self, symbol: str) -> dict[str, Any]:
        """Return what ccxt knows of the market of a symbol that is written like BTCUSDT.

        That is its spot market, or, at an exchange that lists only derivatives, its perpetual swap: the one that is
        settled in the quote if there are several.

        Raises:
            DataError: there is no such market, several swaps may be meant, or the exchange does not answer.
        """
        markets = self._request(self.api.load_markets)
        kind = "spot" if self._market_kind == _SPOT else "swap"
        named: dict[str, list[dict[str, Any]]] = {}
        for market in markets.values():
            if market[kind]:
                named.setdefault(f"{market['base']}{market['quote']}", []).append(market)
        if symbol not in named:
            raise DataError(f"{self.exchange} has no {self._market_kind} {symbol}", _nearest(symbol, named))
        candidates = named[symbol]
        if kind == "swap" and len(candidates) > 1:
            candidates = [market for market in candidates if market["settle"] == market["quote"]] or candidates
            if len(candidates) > 1:
                raise DataError(
                    f"{self.exchange} has several perpetual swaps {symbol}: "
                    + ", ".join(sorted(market["symbol"] for market in candidates)),
                    "Choose another symbol or exchange: the file's name would not tell them apart",
                )
        return dict(candidates[-1])

    def now(self) -> int:
        """Return the time at the exchange, or of this machine where the exchange does not tell it.

        Returns:
            Microseconds since 1970.

        Raises:
            DataError: the exchange refused, or kept failing.
        """
        clock = self.api.fetch_time if self.api.has["fetchTime"] else self.api.milliseconds
        return self._request(lambda: int(clock())) * _MILLISECOND

    def page(self, market: dict[str, Any], interval: str, span: TimeRange, now: int) -> tuple[list[Row], TimeRange]:
        """Fetch the first bars of a span, as many as the exchange sends at once.

        Args:
            market: the market, as `market` returns it.
            interval: length of a bar, for example 5m.
            span: start and end, in microseconds since 1970.
            now: present time at the exchange, in microseconds since 1970.

        Returns:
            The bars, and the part of the span, in microseconds since 1970, in which the exchange has no others. It may
            begin after the span does: an exchange that gives only its newest bars, whatever it is asked for, leaves the
            time before them unanswered, and so does one that may have done so.

        Raises:
            DataError: the exchange refused, or kept failing.
        """
        start, end = (instant // _MILLISECOND for instant in span)
        bar = interval_microseconds(interval) // _MILLISECOND

        def fetch() -> tuple[list[Row], TimeRange]:
            first = start
            if self._klines:
                rows, searched = self._fetch_klines(self._klines, market, interval, start, end)
            else:
                # Many exchanges look no further than `limit` bars: an empty page says nothing of what follows.
                limit = self.api.feature_value(market["symbol"], "fetchOHLCV", "limit") or _CAUTIOUS_LIMIT
                rows = _rows(self.api.fetch_ohlcv(market["symbol"], interval, start, limit), _UNIFIED)
                searched = start + limit * bar
                if rows and rows[0][0] > start and _may_be_newest(rows, searched, limit, bar, now // _MILLISECOND):
                    first = int(rows[0][0])
            if rows and rows[-1][0] < start:
                raise _UnusableAnswerError("only bars from before the requested ones")
            reached = int(rows[-1][0]) + bar if rows else searched
            return [row for row in rows if start <= row[0] < end], (min(first, end), min(reached, end))

        rows, (first, reached) = self._request(fetch)
        if any(row[0] % bar for row in rows):
            raise DataError(f"{self.exchange} opens its {interval} bars off the UTC grid", "Choose a shorter interval")
        return [(row[0] * _MILLISECOND, *row[1:]) for row in rows], (first * _MILLISECOND, reached * _MILLISECOND)

    def _fetch_klines(
        self, klines: _Klines, market: dict[str, Any], interval: str, start: int, end: int
    ) -> tuple[list[Row], int]:
        """Fetch the first bars of a span from Binance's own endpoint.

        Args:
            klines: endpoint of the exchange, and what it sends.
            market: the market, as `market` returns it.
            interval: length of a bar, for example 5m.
            start: opening of the first bar, in milliseconds since 1970.
            end: end of the last bar, in milliseconds since 1970.

        Returns:
            The bars, and until when there are no others if there is none, in milliseconds since 1970.
        """
        if klines.max_days is not None:
            page = _KLINE_LIMIT * interval_microseconds(interval) // _MILLISECOND
            end = min(end, start + min(page, klines.max_days * DAY // _MILLISECOND))
        query = {"symbol": market["id"], "interval": interval, "limit": _KLINE_LIMIT}
        answer = getattr(self.api, klines.endpoint)({**query, "startTime": start, "endTime": end - 1})
        rows = _rows(answer, klines.positions)
        if klines.contracts:
            size = float(market["contractSize"])
            rows = [
                (row[0], *(value * size if index in klines.contracts else value for index, value in enumerate(row[1:])))
                for row in rows
            ]
        return rows, end

    def _request(self, request: Callable[[], Answer]) -> Answer:
        """Return the answer to a request, which is repeated after a wait while the exchange or the network fails.

        Raises:
            DataError: the exchange refused, or kept failing.
        """
        import ccxt

        attempt = 1
        while True:
            self.api.last_json_response = {}  # stays so where ccxt answers from memory
            try:
                answer = request()
                if self.api.last_json_response is None:
                    raise _UnusableAnswerError("not JSON")
            except (ccxt.BaseError, _UnusableAnswerError) as raised:
                error: Exception = raised
            except (LookupError, TypeError, ValueError, AttributeError) as raised:
                # What a malformed answer does to code that expects a well-formed one, ccxt's or ours.
                error = _UnusableAnswerError(f"{type(raised).__name__}: {raised}")
            else:
                self._reached = True
                return answer
            self._sleep(self._wait(error, attempt))
            attempt += 1

    def _wait(self, error: Exception, attempt: int) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            error: how the last attempt failed.
            attempt: number of the last attempt, from 1.

        Raises:
            DataError: there is no use in another attempt.
        """
        import ccxt

        # ccxt raises its errors while it handles the HTTP error; without an answer, that one says more.
        response = getattr(error.__context__, "response", None)
        if response is None:
            temporary, retry_after = isinstance(error, (ccxt.OperationFailed, _UnusableAnswerError)), ""
            detail = str(error.__cause__ or error)
        else:
            self._reached = True
            limited = isinstance(error, (ccxt.DDoSProtection, ccxt.RateLimitExceeded))
            temporary = limited or response.status_code >= 500 or response.status_code in (408, 418, 429)
            retry_after = response.headers.get("Retry-After", "")
            detail = f"HTTP {response.status_code} {response.reason}: {response.text}"
        wait = float(retry_after) if retry_after.isdecimal() else 2.0 ** (attempt - 1) * self._rng.uniform(0.5, 1.0)
        detail = " ".join(detail.split())[:300]
        if not temporary:
            what, remedy = "refuses the request", "Correct what it names"
        elif wait > _MAX_WAIT_SECONDS:
            what = f"accepts no requests for {retry_after} seconds"
            remedy = "Run again after that: what was fetched is kept"
        elif attempt < (_ATTEMPTS if self._reached else _ATTEMPTS_TO_REACH):
            return wait
        elif self._reached:
            what, remedy = f"failed {attempt} times in a row", "Run again later: what was fetched is kept"
        else:
            what, remedy = "cannot be reached", "Connect to the network"
        raise DataError(
            f"{self.exchange} {what} ({detail})",
            f"{remedy}; or name files with --data FILE…, or a store that has them with --store DIR --offline",
        )


def _rows(page: Any, positions: Iterable[int]) -> list[Row]:
    """Return the bars of a page in order: the opening in milliseconds, then the columns at these positions."""
    if not isinstance(page, list):
        raise _UnusableAnswerError("not a list of bars")
    # Some exchanges list an interval without trades, with no prices: that is a gap.
    rows = [(int(row[0]), *(float(row[position]) for position in positions)) for row in page if row[4] is not None]
    return sorted(rows, key=lambda row: row[0])


def _may_be_newest(rows: list[Row], searched: int, limit: int, bar: int, now: int) -> bool:
    """Return whether these may be the newest bars that an exchange has, which it gives whatever it is asked for.

    The last of them may be late, where nothing was traded since: all that is known is that a page which ends long
    before now, or holds no bar beyond those that were asked for, is an answer to what was asked.

    Args:
        rows: the bars of a page, at least one.
        searched: end of the bars that were asked for, in milliseconds since 1970.
        limit: number of bars that were asked for.
        bar: length of a bar in milliseconds.
        now: present time, in milliseconds since 1970.
    """
    last = rows[-1][0]
    is_recent = last + max(limit, len(rows)) * bar > now
    return last + 2 * bar > now or (last >= searched and is_recent)


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return a remedy for an unknown name: the known ones that are spelled most like it."""
    matches = difflib.get_close_matches(name, known)
    return "Check the spelling" + (f": the nearest names are {', '.join(matches)}" if matches else "")
