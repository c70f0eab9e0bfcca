"""Finds the newest bar of each symbol of a market, and says why it may have no prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.data.market import Market, SymbolData


@dataclass(frozen=True)
class NewestBar:
    """The newest bar of a symbol, and why it may have no prediction.

    Attributes:
        symbol: name of the symbol.
        opened: when its newest complete bar opens, in microseconds since 1970.
        unpredicted: number of its newest bars at which no whole window ends: 0 if the newest bar has a prediction.
        since_gap: number of its bars since the last missing bar, or since its first bar if none is missing.
        has_gap: whether a bar is missing before those.
        left_out: when the last bar of its files opens, in microseconds since 1970, if it was left out because it may be
            incomplete; None if no bar was left out.
        missing_before_left_out: number of bars missing between the newest bar and that one.
    """

    symbol: str
    opened: int
    unpredicted: int
    since_gap: int
    has_gap: bool
    left_out: int | None = None
    missing_before_left_out: int = 0

    @property
    def newest(self) -> int:
        """When the bar that is shown as the newest one opens, in microseconds since 1970.

        That is the last complete one, unless bars are missing between it and the end of the files: then it is the last
        bar of the files.
        """
        return self.left_out if self.left_out is not None and self.missing_before_left_out else self.opened

    @property
    def has_call(self) -> bool:
        """Whether the newest bar has a prediction, and no bars are missing between it and the end of the files."""
        return self.unpredicted == 0 and self.missing_before_left_out == 0


def find_newest_bars(market: Market) -> list[NewestBar]:
    """Find the newest bar of each symbol, and how many of its newest bars have no prediction.

    A window must not cross a missing bar, and features need bars before it, so after each missing bar many bars have no
    prediction.

    Args:
        market: bars with their features, as they are handed to `core.inference.TrainedModel.predict`.
    """
    return [_newest_bar(rows) for rows in market.symbols]


def _newest_bar(rows: SymbolData) -> NewestBar:
    predicted, gaps = np.flatnonzero(rows.window_ok), np.flatnonzero(rows.is_break[1:])
    count = len(rows.timestamps)
    return NewestBar(
        symbol=rows.symbol,
        opened=int(rows.timestamps[-1]),
        unpredicted=count - 1 - int(predicted[-1]) if len(predicted) else count,
        since_gap=count - 1 - int(gaps[-1]) if len(gaps) else count,
        has_gap=len(gaps) > 0,
        left_out=rows.left_out,
        missing_before_left_out=rows.missing_before_left_out,
    )
