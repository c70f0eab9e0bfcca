from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.data.file_format import SECOND
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
