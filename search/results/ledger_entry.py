"""A ledger entry: the spans of time that one confirmation reads, as the ledger and its verdict record them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LedgerEntry:
    """The data that one confirmation reads; all times in ISO 8601.

    Attributes:
        campaign: name of the campaign that is confirmed.
        started: when the campaign was started, which tells two campaigns of one name apart.
        exchange: the exchange that the bars are from; empty where it is not known.
        symbols: the symbols that are read.
        interval: length of a bar, as `5m`.
        val: start and end of the span that chose the winner.
        test: start and end of the span that is read once.
        trials: number of trials of the search.
        reads: hash of the final training, whose predictions of test are read; another training is another reading.
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

    @property
    def key(self) -> tuple[str, str, str]:
        """Identity of the reading: a confirmation that continues after an interruption has the same, and reads again.

        It reads what it would have read without the interruption.
        """
        return self.campaign, self.started, self.reads

    def overlaps(self, other: LedgerEntry) -> dict[str, bool]:
        """Return whether the other entry's val and its test share time with this entry's test, by span.

        Only symbols that both entries have count. Another exchange or interval does not make it another market: prices
        move together.

        Args:
            other: an entry that was written before this one.

        Returns:
            for `val` and for `test`, whether the other confirmation has read some of this test span as that.
        """
        has_common_symbol = bool(set(self.symbols) & set(other.symbols))
        return {
            "val": has_common_symbol and _overlap(self.test, other.val),
            "test": has_common_symbol and _overlap(self.test, other.test),
        }


@dataclass(frozen=True)
class OverlappingEntry(LedgerEntry):
    """The entry of an earlier confirmation that has read some of the test span of a later one.

    Attributes:
        saw: the spans as which it has read it: `val`, `test` or both.
    """

    saw: list[str]


def _overlap(span: list[str], other: list[str]) -> bool:
    return span[0] < other[1] and other[0] < span[1]
