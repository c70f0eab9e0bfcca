"""Refuses splits with so few usable rows that nothing measured on them would mean anything.

Shapes: S symbols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from core.data.continuity import find_closures
from core.data.market import Market
from core.data.splits import Borders
from core.errors import DataError


def check_row_counts(market: Market, counts: Mapping[str, Sequence[int]], borders: Borders, min_rows: int) -> None:
    """Check that every split has enough usable rows, and some of every symbol.

    What is fitted on train is fitted for each symbol alone, so each needs the minimum there. Val and test are measured
    over all symbols together, and there each needs its equal share of the minimum: a symbol that lacks those rows would
    be judged by the others alone. A split that holds nothing out has no minimum.

    Args:
        market: the rows of all symbols.
        counts: number of usable rows of each symbol, `[S]`, in train, val and test.
        borders: start and stop of each split.
        min_rows: minimum number of rows in train of each symbol, and in val and test of all symbols together.

    Raises:
        DataError: a split, or a symbol in it, has fewer rows than that.
    """
    names = [data.symbol for data in market.symbols]
    for symbol, count in zip(names, counts["train"], strict=True):
        if count < min_rows:
            raise _too_few_rows(market, symbol, "train", count, min_rows)
    share = ceil(min_rows / len(names))
    for split in ("val", "test"):
        start, stop = getattr(borders, split)
        if start == stop:
            continue
        if sum(counts[split]) < min_rows:
            raise _too_few_rows(market, None, split, sum(counts[split]), min_rows)
        for symbol, count in zip(names, counts[split], strict=True):
            if count < share:
                raise _too_few_rows(market, symbol, split, count, share)


def _too_few_rows(market: Market, symbol: str | None, split: str, count: int, minimum: int) -> DataError:
    """Return the error that a split has too few usable rows.

    Where gaps recur as the closures of a market do, and windows do not reach across them, the remedy is `--sessions`.

    Args:
        market: the rows of all symbols.
        symbol: the symbol whose rows were counted; None if those of all symbols were.
        split: name of the split.
        count: number of its usable rows.
        minimum: how many it needs.
    """
    what = f"Only {count} usable {split} rows in {symbol or 'the data'}"
    what += f", at least {minimum} are needed" if minimum > 1 else ""
    bar = market.span.bar
    if any((find_closures(data.timestamps, bar) & data.is_break).any() for data in market.symbols):
        return DataError(
            f"{what}: gaps recur as the closures of a market do, and no window reaches across them",
            "Say --sessions (sessions: true), so that windows do, or use more days",
        )
    begin = f"Leave {symbol} out, or use" if symbol and len(market.symbols) > 1 else "Use"
    more_symbols = "" if symbol else "more symbols, "
    return DataError(
        what,
        f"{begin} more days, a shorter interval, {more_symbols}or data with fewer gaps: each gap costs the warm-up of "
        "the features and a window",
    )
