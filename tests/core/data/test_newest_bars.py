from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.config import DataConfig, SyntheticConfig
from core.data.market import SymbolData
from core.data.newest_bars import find_newest_bars
from core.data.sources.reader import read_market

MARKET = read_market(DataConfig(synthetic=SyntheticConfig(bars=500), window=16))
ROWS = MARKET.symbols[0]


def _newest(rows: SymbolData) -> tuple[int, int, bool, bool]:
    (bar,) = find_newest_bars(replace(MARKET, symbols=(rows,)))
    assert bar.opened == rows.timestamps[-1]
    return bar.unpredicted, bar.since_gap, bar.has_gap, bar.has_call


def test_the_newest_bar_of_a_whole_market_has_a_call() -> None:
    assert _newest(ROWS) == (0, len(ROWS.timestamps), False, True)


def test_bars_since_the_last_whole_window_and_the_last_gap_are_counted() -> None:
    window_ok, is_break = ROWS.window_ok.copy(), ROWS.is_break.copy()
    window_ok[-7:], is_break[-7] = False, True
    assert _newest(replace(ROWS, window_ok=window_ok, is_break=is_break)) == (7, 7, True, False)
    nothing = np.zeros_like(window_ok)
    assert _newest(replace(ROWS, window_ok=nothing))[0] == len(ROWS.timestamps)


def test_bars_missing_before_an_incomplete_one_make_that_the_newest() -> None:
    left_out = int(ROWS.timestamps[-1]) + 5 * MARKET.span.bar
    (bar,) = find_newest_bars(replace(MARKET, symbols=(replace(ROWS, left_out=left_out, missing_before_left_out=4),)))
    assert (bar.newest, bar.has_call) == (left_out, False)
    (bar,) = find_newest_bars(replace(MARKET, symbols=(replace(ROWS, left_out=left_out),)))
    assert (bar.newest, bar.has_call) == (int(ROWS.timestamps[-1]), True)
