"""A ledger entry: the spans of time that a search, a confirmation or a verification reads."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["search", "folds", "confirmation", "verification", "preset"]
READ_SPANS: dict[Kind, tuple[str, ...]] = {
    "search": ("val", "folds"),
    "folds": ("val", "folds"),
    "confirmation": ("val", "folds", "test"),
    "verification": ("val", "test"),
    "preset": ("val", "folds", "test"),
}
"""The spans of an entry that are read, by its kind; the others are only held out."""
_QUOTES = "USDT|USDC|BUSD|TUSD|FDUSD|DAI|USD|EUR|GBP|JPY|KRW|TRY|BRL|AUD|BTC|XBT|ETH|BNB"
_PAIR = re.compile(rf"(?:10+)?(?P<base>[A-Z0-9]+?)(?:Z?(?:{_QUOTES}))?(?:PERP|SWAP)?")
_SAME_ASSETS = {"XETH": "ETH", "WBTC": "BTC", "STETH": "ETH", "WETH": "ETH"}


@dataclass(frozen=True)
class LedgerEntry:
    """The data that one search, confirmation or verification reads; all times in ISO 8601.

    Attributes:
        campaign: name of the campaign that is searched, confirmed or verified.
        started: when the campaign was started, which tells two campaigns of one name apart.
        exchange: the exchange that the bars are from; empty where it is not known.
        symbols: the symbols that are read.
        interval: length of a bar, as `5m`.
        val: start and end of the span that chooses the winner.
        test: start and end of the span that is read once.
        trials: number of trials of the search.
        reads: hash of the final training, whose predictions of test are read; another training is another reading.
            Empty where no such training is known.
        kind: what reads; `folds` is a confirmation that has not come to test yet, `preset` stands for the campaign of a
            preset that a search begins with.
        read_at: when the data were read first; empty in lines of early versions.
        folds: start and end of the blocks that folds predict; empty where there are none, or they are not known.
    """

    campaign: str
    started: str
    exchange: str
    symbols: list[str]
    interval: str
    val: list[str]
    test: list[str]
    trials: int
    reads: str
    kind: Kind = "confirmation"
    read_at: str = ""
    folds: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Identity of the reading: a confirmation that continues after an interruption has the same, and reads again.

        It reads what it would have read without the interruption.
        """
        return self.campaign, self.started, self.kind, self.reads

    @property
    def time(self) -> str:
        """When the data were read; where that is not recorded, when the campaign was started."""
        return self.read_at or self.started

    def overlaps(self, other: LedgerEntry) -> list[str]:
        """Return the spans as which another reading has read some of this entry's test span.

        Only assets that both entries have count. Another quote currency, exchange or interval does not make it another
        market: prices move together.

        Args:
            other: an entry that was written before this one.

        Returns:
            those of `val`, `folds` and `test` that the other has read and that share time with this test span.
        """
        if not {base_asset(symbol) for symbol in self.symbols} & {base_asset(symbol) for symbol in other.symbols}:
            return []
        return [name for name in READ_SPANS[other.kind] if _overlap(self.test, getattr(other, name))]


@dataclass(frozen=True)
class OverlappingEntry(LedgerEntry):
    """The entry of an earlier reading that shares some of the test span of a later confirmation.

    Attributes:
        saw: the spans as which it was read: `val`, `folds`, `test`.
    """

    saw: list[str] = field(default_factory=list)


def without_defaults(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an entry as early versions wrote it, if it says no more than theirs did.

    Args:
        row: the fields of an entry, by name.
    """
    defaults: dict[str, Any] = {"kind": "confirmation", "read_at": "", "folds": []}
    return {name: value for name, value in row.items() if name not in defaults or value != defaults[name]}


def base_asset(symbol: str) -> str:
    """Return the asset whose price a symbol is, whatever currency that is in and however the exchange spells it.

    Args:
        symbol: the symbol, in any spelling. One that is no pair, such as a stock, is its own asset.

    >>> {base_asset(symbol) for symbol in ("BTCUSDT", "BTC-USD", "XBTUSD", "XXBTZUSD", "BTC/USDC:USDC", "btcusd")}
    {'BTC'}
    >>> base_asset("ETHBTC"), base_asset("1000PEPEUSDT"), base_asset("AAPL")
    ('ETH', 'PEPE', 'AAPL')
    """
    plain = re.sub(r"[^A-Z0-9]", "", symbol.upper().partition(":")[0])
    plain = re.sub("^X?XBT", "BTC", plain)  # Kraken's and BitMEX's name
    match = _PAIR.fullmatch(plain)
    base = match["base"] if match else plain
    return _SAME_ASSETS.get(base, base)


def _overlap(span: list[str], other: list[str]) -> bool:
    return bool(other) and span[0] < other[1] and other[0] < span[1]
