from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.config import DataConfig, SyntheticConfig
from core.data.file_format import SECOND
from core.data.market import bars_market
from core.data.validation import find_problems
from tests.helpers import market

ONE_SECOND = pd.Timedelta(seconds=1)


def _book(levels: int = 3, rows: int = 6) -> pd.DataFrame:
    columns = {name: values for name, values in market.book(rows, levels=levels).items() if name[:3] in ("bid", "ask")}
    frame = pd.DataFrame(columns).astype(float)
    frame.insert(0, "timestamp", pd.Timestamp("2024-01-01", tz="UTC") + np.arange(rows) * ONE_SECOND)
    return frame


@pytest.mark.parametrize("levels", [1, 5, 10, 20])
def test_a_sound_book_passes(levels: int) -> None:
    assert find_problems(_book(levels), SECOND) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"bid_px_1": 1e9}, "has a bid at or above the ask"),
        ({"bid_px_2": 1e9}, "has bid levels out of order"),
        ({"ask_px_2": 1e-9}, "has ask levels out of order"),
        ({"bid_px_3": 0.0}, "has a non-positive bid price"),
        ({"ask_px_1": np.nan}, "has no finite ask_px_1"),
        ({"ask_px_2": np.inf}, "has no finite ask_px_2"),
        ({"bid_sz_1": -1.0}, "has a negative bid size"),
        ({"ask_sz_2": np.nan}, "has no finite ask_sz_2"),
    ],
)
def test_a_damaged_book_is_named_with_its_first_row_and_its_count(change: dict[str, float], what: str) -> None:
    frame = _book()
    for name, value in change.items():
        frame.loc[[2, 4], name] = value
    problem = next(problem for problem in find_problems(frame, SECOND) if problem.what == what)
    assert (problem.row, problem.count) == (2, 2)
    assert problem.when == frame["timestamp"].iloc[2]
    assert problem.remedy


def test_a_bid_equal_to_the_ask_is_crossed() -> None:
    frame = _book()
    frame.loc[1, "bid_px_1"] = frame.loc[1, "ask_px_1"]
    assert "has a bid at or above the ask" in {problem.what for problem in find_problems(frame, SECOND)}


def test_levels_may_share_a_price_and_be_empty() -> None:
    frame = _book()
    frame.loc[1, "bid_px_2"] = frame.loc[1, "bid_px_1"]
    frame.loc[1, ["bid_sz_2", "ask_sz_1"]] = 0.0
    assert find_problems(frame, SECOND) == []


def _bars(factor: float) -> pd.DataFrame:
    """Bars that open at the low and close at the high, but for a low above and a high below them by a factor."""
    frame = market.random_bars(300).frame
    frame["open"], frame["close"] = 100.0, 101.0
    frame["low"], frame["high"] = 100.0 * (1 + factor), 101.0 * (1 - factor)
    return frame


@pytest.mark.parametrize("factor", [0.0, 1e-15, 1e-10])
def test_computed_prices_may_differ_by_rounding(factor: float) -> None:
    bars = market.random_bars(300)
    assert find_problems(_bars(factor), bars.bar) == []
    made = bars_market([replace(bars, frame=_bars(factor))], DataConfig(synthetic=SyntheticConfig()))
    assert np.isfinite(made.symbols[0].features).all()


def test_a_high_below_the_close_by_more_than_rounding_is_refused() -> None:
    bar = market.random_bars(300).bar
    assert "has open or close outside low to high" in {problem.what for problem in find_problems(_bars(1e-8), bar)}
