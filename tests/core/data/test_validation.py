from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.config import DataConfig, SyntheticConfig
from core.data.completion import fill_untraded
from core.data.file_format import DAY, SECOND
from core.data.market import bars_market
from core.data.validation import find_problems, grid_offset
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


@pytest.mark.parametrize(
    ("column", "finite", "remedy"),
    [
        ("close", slice(5, None), "Remove the row: gaps are legal"),
        ("close", slice(100, None), "Remove the row: gaps are legal"),  # half of the windows are left
        (
            "close",
            slice(None, None, 3),
            "Removing 67% of the rows alone would leave 0% of the windows of 60 bars without a gap: remove them, and "
            "fill the gaps with untraded bars by --fill-untraded 2 (fill_untraded: 2), or use a longer interval",
        ),
        (
            "funding",
            slice(None, None, 96),
            "It has a value in one of 96 bars. To carry each forward for as long as 8h, write features:",
        ),
        ("funding", slice(0, 0), "Do not name it as a feature"),
        ("trades", slice(None, None, 2), "Leave trades out of the file: it is missing in 50% of the rows"),
    ],
)
def test_the_remedy_of_missing_values_depends_on_how_many_they_are(column: str, finite: slice, remedy: str) -> None:
    bars = market.random_bars(300)
    values = np.full(300, np.nan)
    values[finite] = 101.0
    problems = find_problems(bars.frame.assign(**{column: values}), bars.bar)
    (problem,) = (problem for problem in problems if "finite" in problem.what)
    assert problem.what == f"has no finite {column}"
    assert problem.remedy.startswith(remedy)


def test_eight_percent_of_missing_prices_have_a_remedy_that_leaves_windows() -> None:
    bars = market.random_bars(5000)
    missing = np.random.default_rng(0).random(5000) < 0.08
    damaged = bars.frame.assign(close=bars.frame["close"].mask(missing))
    (problem,) = (problem for problem in find_problems(damaged, bars.bar) if "finite" in problem.what)
    (limit,) = re.findall(r"--fill-untraded (\d+)", problem.remedy)
    removed = replace(bars, frame=bars.frame[~missing].reset_index(drop=True))
    usable = []
    for fill in (0, int(limit)):
        config = DataConfig(synthetic=SyntheticConfig(), fill_untraded=fill)
        completed = fill_untraded(removed, fill) if fill else removed
        usable.append(int(bars_market([completed], config).symbols[0].usable.sum()))
    assert usable[0] < 250
    assert usable[1] > 3000
    funding = bars.frame.assign(funding=np.where(missing, np.nan, np.sin(np.arange(5000))))
    (problem,) = find_problems(funding, bars.bar)
    assert 'write features: {"funding": {hold: ' in problem.remedy


def test_bars_that_all_open_at_one_offset_from_the_grid_are_sound() -> None:
    bars = market.random_bars(300)
    shifted = bars.frame.assign(timestamp=bars.frame["timestamp"] + pd.Timedelta(seconds=90))
    assert find_problems(shifted, bars.bar) == []
    assert grid_offset(replace(bars, frame=shifted).opened, bars.bar) == 90 * SECOND
    shifted.loc[7, "timestamp"] += pd.Timedelta(seconds=1)
    (problem,) = find_problems(shifted, bars.bar)
    assert (problem.row, problem.count, problem.what) == (7, 1, "is not on the 5m grid")
    scattered = bars.frame.assign(timestamp=bars.frame["timestamp"] + pd.to_timedelta(np.arange(300) % 100, unit="s"))
    assert find_problems(scattered, bars.bar)[0].count == 297


def test_daily_bars_that_open_at_five_become_a_market() -> None:
    bars = replace(market.random_bars(400), interval="1d")
    days = pd.date_range("2020-01-01 05:00", periods=400, freq="D", tz="UTC")
    shifted = replace(bars, frame=bars.frame.assign(timestamp=days))
    made = bars_market([shifted], DataConfig(synthetic=SyntheticConfig()))
    assert made.symbols[0].timestamps[0] % DAY == 5 * 3600 * SECOND
    assert np.isfinite(made.symbols[0].features).all()


def test_bars_without_an_offset_in_common_are_off_the_grid() -> None:
    bars = market.random_bars(100)
    some = np.where(np.arange(100) % 8 == 0, 7, 90) * SECOND  # the median is that of 87 of 100
    assert grid_offset(bars.opened + some, bars.bar) == 0
    few = np.where(np.arange(100) % 16 == 0, 7, 90) * SECOND
    assert grid_offset(bars.opened + few, bars.bar) == 90 * SECOND
    assert grid_offset(bars.opened[:0], bars.bar) == 0


def test_the_largest_number_is_damage_and_no_warning() -> None:
    bars = market.random_bars(100)
    frame = bars.frame.copy()
    frame.loc[7, ["open", "high", "low", "close"]] = np.finfo(float).max
    assert {problem.row for problem in find_problems(frame, bars.bar)} == {7}
