"""One exchange, asked for bars through ccxt. All instants are milliseconds since 1970, UTC."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.request import getproxies

import numpy as np

from core.data.file_format import REQUIRED, TAKER_FLOW, interval_seconds
from core.errors import ConfigError, DataError

Span = tuple[int, int]
Row = tuple[float, ...]
Answer = TypeVar("Answer")

# ccxt's unified bars drop the taker flow. Binance's own klines have it: these are our columns' places in a kline.
_BINANCE = ("binance", "binanceus")
_KLINE = (1, 2, 3, 4, 5, 7, 8, 9, 10)
_KLINE_LIMIT = 1000
_UNIFIED = (1, 2, 3, 4, 5)
# Where ccxt does not know an exchange's limit. Asking for more than it gives would turn the rest into holes.
_CAUTIOUS_LIMIT = 100

_ATTEMPTS = 6
_ATTEMPTS_TO_REACH = 2
_MAX_WAIT_SECONDS = 600.0


class _UnusableAnswerError(Exception):
    """The exchange answered, but not with what was asked for."""


class Client:
    """One exchange: asked within its rate limit, again when it falters, and never with a key.

    Args:
        exchange: its name in ccxt, like binance.
        sleep: waits that many seconds.
        rng: spreads the waits, so that clients which failed together do not come back together.

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
        self.columns = REQUIRED + TAKER_FLOW if exchange in _BINANCE else REQUIRED
        # ccxt hides the environment from its HTTP library: the passwords in ~/.netrc, but also the proxy.
        settings: dict[str, Any] = {
            "enableRateLimit": True,
            "enableLastJsonResponse": True,
            "httpsProxy": getproxies().get("https"),
        }
        if exchange in _BINANCE:
            settings["options"] = {"fetchMarkets": {"types": ["spot"]}}
        self.api: Any = getattr(ccxt, exchange)(settings)
        self._sleep = sleep
        self._rng = rng or np.random.default_rng()
        self._reached = False

    def check_interval(self, interval: str) -> None:
        """Make sure that the exchange has bars of this interval.

        Raises:
            ConfigError: it does not.
        """
        names = self.api.timeframes or () if self.api.has["fetchOHLCV"] is True else ()
        offered = [name for name in names if re.fullmatch(r"[1-9]\d*[mhd]", name)]
        if interval not in offered:
            raise ConfigError(
                f"{self.exchange} does not offer bars of {interval}",
                f"Choose one of {', '.join(offered)}" if offered else "Choose another exchange",
            )

    def market(self, symbol: str) -> dict[str, Any]:
        """What ccxt knows of the spot market of a symbol that is written like BTCUSDT.

        Raises:
            DataError: there is none, or the exchange does not tell.
        """
        markets = self._ask(self.api.load_markets)
        spot = {f"{market['base']}{market['quote']}": market for market in markets.values() if market["spot"]}
        if symbol not in spot:
            raise DataError(f"{self.exchange} has no spot market {symbol}", _nearest(symbol, spot))
        return dict(spot[symbol])

    def now(self) -> int:
        """The time at the exchange; where it does not tell, that of this machine.

        Raises:
            DataError: the exchange refused, or went on failing.
        """
        return self._ask(lambda: int(self.api.fetch_time() if self.api.has["fetchTime"] else self.api.milliseconds()))

    def page(self, market: dict[str, Any], interval: str, span: Span) -> tuple[list[Row], int]:
        """The first bars of a span, as many as come at once, and the instant up to which no more are to come.

        Raises:
            DataError: the exchange refused, or went on failing.
        """
        start, end = span
        step = interval_seconds(interval) * 1000

        def ask() -> tuple[list[Row], int]:
            if self.exchange in _BINANCE:
                asked = {"symbol": market["id"], "interval": interval, "limit": _KLINE_LIMIT}
                rows = _rows(self.api.publicGetKlines({**asked, "startTime": start, "endTime": end - 1}), _KLINE)
                beyond = end
            else:
                # Many exchanges look no further than `limit` bars: an empty page says nothing of what follows.
                limit = self.api.feature_value(market["symbol"], "fetchOHLCV", "limit", _CAUTIOUS_LIMIT)
                rows = _rows(self.api.fetch_ohlcv(market["symbol"], interval, start, limit), _UNIFIED)
                beyond = start + limit * step
            if rows and rows[-1][0] < start:
                raise _UnusableAnswerError("only bars from before those asked for")
            reached = int(rows[-1][0]) + step if rows else beyond
            return [row for row in rows if start <= row[0] < end], min(reached, end)

        rows, reached = self._ask(ask)
        if any(row[0] % step for row in rows):
            raise DataError(f"{self.exchange} opens its {interval} bars off the UTC grid", "Choose a shorter interval")
        return rows, reached

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """What `question` returns: put again, after a wait, while the exchange or the line falters."""
        import ccxt

        attempt = 1
        while True:
            self.api.last_json_response = {}  # stays so where ccxt answers from memory
            try:
                answer = question()
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
        """Seconds until the next attempt.

        Raises:
            DataError: there is to be none.
        """
        import ccxt

        # ccxt raises its errors while it handles the one of HTTP; without an answer, that one tells more.
        response = getattr(error.__context__, "response", None)
        if response is None:
            passing, told = isinstance(error, (ccxt.OperationFailed, _UnusableAnswerError)), ""
            detail = str(error.__cause__ or error)
        else:
            self._reached = True
            limited = isinstance(error, (ccxt.DDoSProtection, ccxt.RateLimitExceeded))
            passing = limited or response.status_code >= 500 or response.status_code in (408, 418, 429)
            told = response.headers.get("Retry-After", "")
            detail = f"HTTP {response.status_code} {response.reason}: {response.text}"
        wait = float(told) if told.isdecimal() else 2.0 ** (attempt - 1) * self._rng.uniform(0.5, 1.0)
        detail = " ".join(detail.split())[:300]
        if not passing:
            what, remedy = "refuses", "Mend what it names"
        elif wait > _MAX_WAIT_SECONDS:
            what, remedy = f"wants to be left alone for {told} seconds", "Run again after that: what came is kept"
        elif attempt < (_ATTEMPTS if self._reached else _ATTEMPTS_TO_REACH):
            return wait
        elif self._reached:
            what, remedy = f"failed {attempt} times in a row", "Run again later: what came is kept"
        else:
            what, remedy = "cannot be reached", "Connect to the network"
        raise DataError(
            f"{self.exchange} {what} ({detail})",
            f"{remedy}; or name files with --data FILE…, or a store that has them with --store DIR --offline",
        )


def _rows(page: Any, places: Iterable[int]) -> list[Row]:
    """The bars of a page in order: open, then the columns at those places."""
    if not isinstance(page, list):
        raise _UnusableAnswerError("not a list of bars")
    # Some exchanges list an interval without trades, with no prices: that is a gap.
    rows = [(int(row[0]), *(float(row[place]) for place in places)) for row in page if row[4] is not None]
    return sorted(rows, key=lambda row: row[0])


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known)
    return f"Its nearest: {', '.join(close)}" if close else "Check how it is written"
