"""What short gaps cost: usable rows with and without features that reach across them, and how far such features err.

Every 500 rows, some bars are taken out of complete bars. `python -m benchmarks.gaps FILE…` measures bar files; without
a file, the embedded synthetic market is measured.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from core.config import DataConfig, SyntheticConfig
from core.data.bars import Bars, read_bar_file
from core.data.market import BRIDGED_BARS, SymbolData, bars_market
from core.data.sources.synthetic import make_bars

ROWS, EVERY, AFTER = 12_000, 500, 60
"""Number of bars, rows from one gap to the next, and rows after a gap in which features are compared."""


def _rows(bars: Bars, kept: np.ndarray, bridged: int) -> SymbolData:
    """Return the rows of some of the bars, with features that reach across gaps of up to `bridged` bars."""
    with patch("core.data.market.BRIDGED_BARS", bridged):
        part = replace(bars, frame=bars.frame.iloc[kept].reset_index(drop=True))
        return bars_market([part], DataConfig(symbols=(bars.symbol,))).symbols[0]


def _measure(bars: Bars, length: int) -> str:
    """Compare the rows and features of bars with gaps of a length with those of the complete bars."""
    count = len(bars.frame)
    starts = np.arange(400, count - 400, EVERY)
    kept = np.setdiff1d(np.arange(count), (starts[:, None] + np.arange(length)).ravel())
    complete = _rows(bars, np.arange(count), 0)
    restarted, bridged = _rows(bars, kept, 0), _rows(bars, kept, length)
    low, high = np.quantile(complete.features[complete.window_ok], (0.25, 0.75), axis=0)
    compared = (starts[:, None] + length + np.arange(AFTER)).ravel()
    values = bridged.features[np.searchsorted(kept, compared)]
    errors = np.abs(values - complete.features[compared]) / np.where(high > low, high - low, 1.0)
    return (
        f"gaps of {length:2}: {restarted.usable.sum():6,} of {complete.usable.sum():,} rows usable with a warm-up "
        f"after each, {bridged.usable.sum():6,} with features across it; errors in interquartile ranges: mean "
        f"{errors.mean():.3f}, 95 % below {np.quantile(errors, 0.95):.2f}, {(errors > 0.5).mean():.1%} above 0.5"
    )


def main(paths: list[Path] | None = None) -> None:
    """Print a line for each length of the gaps, and mark the one up to which gaps are bridged."""
    all_bars = [read_bar_file(path) for path in paths or ()] or make_bars(SyntheticConfig(bars=ROWS), "5m")
    for bars in all_bars:
        part = replace(bars, frame=bars.frame.iloc[:ROWS].reset_index(drop=True))
        print(f"{bars.symbol} {bars.interval}, a gap every {EVERY} rows")
        for length in (1, 3, 6, 12, 24):
            print(f"  {_measure(part, length)}{' <- limit' if length == BRIDGED_BARS else ''}")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
