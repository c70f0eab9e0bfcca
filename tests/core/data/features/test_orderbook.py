from __future__ import annotations

import numpy as np
import pytest

from core.data import file_format
from core.data.features import orderbook, registry
from core.data.features.registry import FEATURES
from tests.helpers.market import Columns

BY_NAME = {feature.name: feature for feature in FEATURES}


def _row(**changes: float) -> Columns:
    """One row of a book of two levels: bids 99 and 98, asks 101 and 103."""
    row = {
        "bid_px_1": 99.0,
        "bid_px_2": 98.0,
        "ask_px_1": 101.0,
        "ask_px_2": 103.0,
        "bid_sz_1": 3.0,
        "bid_sz_2": 2.0,
        "ask_sz_1": 1.0,
        "ask_sz_2": 4.0,
    }
    return {name: np.array([value]) for name, value in (row | changes).items()}


def _rows(*rows: Columns) -> Columns:
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _five_levels(bid: list[float], ask: list[float]) -> Columns:
    """One row of five levels a side, one price unit apart around 100, with these sizes."""
    row = {}
    for level in range(1, 6):
        row |= {f"bid_px_{level}": 100.0 - level, f"ask_px_{level}": 100.0 + level}
        row |= {f"bid_sz_{level}": bid[level - 1], f"ask_sz_{level}": ask[level - 1]}
    return {name: np.array([value]) for name, value in row.items()}


def _value(name: str, book: Columns, row: int = 0) -> float:
    return float(BY_NAME[name].compute(book)[row])


def test_mid_spread_and_micro_price_by_hand() -> None:
    row = _row()
    assert file_format.mid_price(row)[0] == 100.0
    assert _value("spread", row) == pytest.approx(200.0)
    # (99 * 1 + 101 * 3) / 4 = 100.5: nearer to the side that offers less.
    assert _value("micro_price_gap", row) == pytest.approx(50.0)


def test_imbalances_by_hand() -> None:
    row = _five_levels([4, 1, 0, 0, 3], [1, 1, 1, 1, 1])
    assert _value("queue_imbalance_1", row) == pytest.approx(3 / 5)
    assert _value("queue_imbalance_5", row) == pytest.approx(3 / 13)
    assert _value("deep_imbalance_5", row) == pytest.approx(0.0)
    assert _value("top_share_5", row) == pytest.approx(5 / 13)


def test_the_slope_by_hand() -> None:
    row = _five_levels([1, 1, 0, 0, 0], [0, 0, 0, 0, 2])
    # Bids lie 1.5 away on average, asks 5.
    assert _value("slope_balance_5", row) == pytest.approx((5 - 1.5) / (5 + 1.5))


def test_a_book_without_size_is_balanced() -> None:
    row = _five_levels([0] * 5, [0] * 5)
    for name in ("micro_price_gap", "queue_imbalance_5", "deep_imbalance_5", "slope_balance_5", "top_share_5"):
        assert _value(name, row) == 0.0
    still = {name: np.repeat(column, 80) for name, column in row.items()}
    assert _value("order_flow_5_10", still, 79) == 0.0
    assert _value("depth_surprise_5", still, 79) == pytest.approx(np.log(1.01))


@pytest.mark.parametrize(
    ("change", "flow"),
    [
        ({}, 0.0),
        ({"bid_sz_1": 5.0}, 2.0),
        ({"bid_sz_1": 0.5}, -2.5),
        ({"bid_px_1": 100.0, "bid_sz_1": 7.0}, 7.0),
        ({"bid_px_1": 98.5, "bid_sz_1": 7.0}, -3.0),
        ({"ask_sz_1": 4.0}, -3.0),
        ({"ask_px_1": 100.5, "ask_sz_1": 6.0}, -6.0),
        ({"ask_px_1": 102.0, "ask_sz_1": 6.0}, 1.0),
        ({"bid_sz_1": 5.0, "ask_sz_1": 4.0}, -1.0),
    ],
)
def test_order_flow_of_one_level_by_hand(change: dict[str, float], flow: float) -> None:
    flows = orderbook.order_flow(_rows(_row(), _row(**change)), 1)
    assert flows.tolist() == [0.0, flow]


def test_order_flow_adds_up_levels() -> None:
    book = _rows(_row(), _row(bid_sz_1=5.0, ask_sz_2=1.0))
    assert orderbook.order_flow(book, 2)[1] == 2.0 + 3.0


def test_order_flow_is_measured_in_depths_of_one_side() -> None:
    rows = [_row()] * 70 + [_row(bid_sz_1=5.0)]
    book = _rows(*rows)
    # A size of 2 came; the best levels held (3 + 1)/2 a side, and (5 + 1)/2 in the last of 60 rows.
    assert _value("order_flow_1_1", book, 70) == pytest.approx(2 / (2 + 1 / 60))
    assert _value("order_flow_1_10", book, 70) == pytest.approx(0.2 / (2 + 1 / 60))


def test_depth_relative_to_its_average_by_hand() -> None:
    book = _rows(*[_row()] * 59, _row(bid_sz_1=0.0))
    assert _value("depth_surprise_1", book, 59) == pytest.approx(np.log(1 / ((59 * 4 + 1) / 60) + 0.01))


@pytest.mark.parametrize(("levels", "deepest"), [(1, 1), (4, 1), (5, 5), (12, 10), (25, 20)])
def test_features_use_as_many_levels_as_the_file_has(levels: int, deepest: int) -> None:
    features = registry.available_features(file_format.level_columns(levels))
    assert max(int(feature.name.split("_")[2]) for feature in features if feature.name.startswith("queue")) == deepest
