"""Order books: features of rows that hold the best levels of each side.

Columns `bid_px_1… bid_sz_1… ask_px_1… ask_sz_1…`, level 1 the best. A feature of the k best levels exists where the
file has them. Sizes enter as shares of each other, prices as shares of the mid price: units do not matter.
"""

from __future__ import annotations

import numpy as np

from core.data.features.base import Feature
from core.data.features.rolling import lagged, log_share, mean, quotient
from core.data.file_format import Array, Columns, level_columns, mid_price

_BASIS_POINTS = 1e4
_USUAL = 60
"""Rows over which depth counts as usual."""


def _sizes(book: Columns, side: str, levels: int, best: int = 1) -> Array:
    return np.asarray(sum(book[f"{side}_sz_{level}"] for level in range(best, levels + 1)))


def _depth(book: Columns, levels: int) -> Array:
    return np.asarray(_sizes(book, "bid", levels) + _sizes(book, "ask", levels))


def _balance(bid: Array, ask: Array) -> Array:
    """Bid less ask over their sum; 0 where both are 0."""
    return quotient(bid - ask, bid + ask)


def _spread(book: Columns) -> Array:
    return np.asarray(_BASIS_POINTS * (book["ask_px_1"] - book["bid_px_1"]) / mid_price(book))


def _micro_price_gap(book: Columns) -> Array:
    return np.asarray(_spread(book) / 2 * _balance(book["bid_sz_1"], book["ask_sz_1"]))


def _distance(book: Columns, side: str, level: int) -> Array:
    """Of a level from the mid price, in basis points. Positive: the book is not crossed."""
    mid = mid_price(book)
    return np.asarray(_BASIS_POINTS * np.abs(book[f"{side}_px_{level}"] - mid) / mid)


def _mean_distance(book: Columns, side: str, levels: int) -> Array:
    weighted = sum(_distance(book, side, level) * book[f"{side}_sz_{level}"] for level in range(1, levels + 1))
    return quotient(np.asarray(weighted), _sizes(book, side, levels))


def _arrivals(book: Columns, side: str, level: int) -> Array:
    """Size that came to a level (or left it, < 0) since the row before; 0 in the first row.

    Cont, Kukanov & Stoikov 2014: at an unchanged price the change of size; at a better price the new size;
    at a worse price less the size that was there.
    """
    price, size = book[f"{side}_px_{level}"], book[f"{side}_sz_{level}"]
    price_before, size_before = lagged(price, 1), lagged(size, 1)
    better = price - price_before if side == "bid" else price_before - price
    return np.where(better >= 0, size, 0.0) - np.where(better <= 0, size_before, 0.0)


def order_flow(book: Columns, levels: int) -> Array:
    """Order-flow imbalance of each row: what came to the bids less what came to the asks, over the best levels."""
    flows = (_arrivals(book, "bid", level) - _arrivals(book, "ask", level) for level in range(1, levels + 1))
    return np.asarray(sum(flows))


def _queue_imbalance(levels: int) -> Feature:
    return Feature(
        f"queue_imbalance_{levels}",
        f"size of the {levels} best bids less that of the asks, over both",
        "(B - A) / (B + A), Cao, Hansch & Wang 2009; 0 in an empty book",
        0,
        lambda book: _balance(_sizes(book, "bid", levels), _sizes(book, "ask", levels)),
        level_columns(levels),
    )


def _depth_surprise(levels: int) -> Feature:
    def compute(book: Columns) -> Array:
        depth = _depth(book, levels)
        return log_share(depth, mean(depth, _USUAL))

    return Feature(
        f"depth_surprise_{levels}",
        f"log of the size of the {levels} best levels over its mean of {_USUAL} rows",
        "log(D / mean(D) + 0.01); 0.01 in an empty book",
        _USUAL - 1,
        compute,
        level_columns(levels),
    )


def _top_share(levels: int) -> Feature:
    return Feature(
        f"top_share_{levels}",
        f"size of the best level as a share of that of the {levels} best",
        "D_1 / D_k; 0 in an empty book",
        0,
        lambda book: quotient(_depth(book, 1), _depth(book, levels)),
        level_columns(levels),
    )


def _slope_balance(levels: int) -> Feature:
    return Feature(
        f"slope_balance_{levels}",
        f"how much farther the asks lie than the bids, over the {levels} best levels",
        "(d_ask - d_bid) / (d_ask + d_bid), d the mean distance weighted by size; after Naes & Skjeltorp 2006",
        0,
        lambda book: _balance(_mean_distance(book, "ask", levels), _mean_distance(book, "bid", levels)),
        level_columns(levels),
    )


def _deep_imbalance(levels: int) -> Feature:
    def deep(book: Columns, side: str) -> Array:
        return _sizes(book, side, levels, best=2)

    return Feature(
        f"deep_imbalance_{levels}",
        f"size of the bids less that of the asks, over both, from level 2 to {levels}",
        "(B - A) / (B + A) behind the best level, Cao, Hansch & Wang 2009; 0 where these are empty",
        0,
        lambda book: _balance(deep(book, "bid"), deep(book, "ask")),
        level_columns(levels),
    )


def _order_flow(levels: int, span: int) -> Feature:
    usual = max(span, _USUAL)

    def compute(book: Columns) -> Array:
        return quotient(mean(order_flow(book, levels), span), mean(_depth(book, levels), usual) / 2)

    return Feature(
        f"order_flow_{levels}_{span}",
        f"order-flow imbalance of the {levels} best levels, mean of {span} rows, over their mean depth a side",
        "Cont, Kukanov & Stoikov 2014; levels summed as in Xu, Gould & Howison 2018; 0 in an empty book",
        max(span, usual - 1),
        compute,
        level_columns(levels),
    )


BOOK_FEATURES: tuple[Feature, ...] = (
    Feature(
        "spread",
        "best ask less best bid, in basis points of the mid price",
        "1e4 (a - b) / mid",
        0,
        _spread,
        ("bid_px_1", "ask_px_1"),
    ),
    Feature(
        "micro_price_gap",
        "size-weighted mid price less mid price, in basis points",
        "1e4 ((b A + a B) / (A + B) - mid) / mid, Stoikov 2018 (over the spread it is half of queue_imbalance_1)",
        0,
        _micro_price_gap,
        level_columns(1),
    ),
    *(_queue_imbalance(levels) for levels in (1, 5, 10, 20)),
    *(_deep_imbalance(levels) for levels in (5, 10, 20)),
    *(_slope_balance(levels) for levels in (5, 10, 20)),
    *(_top_share(levels) for levels in (5, 10, 20)),
    *(_depth_surprise(levels) for levels in (1, 5, 10, 20)),
    *(_order_flow(levels, span) for levels in (1, 5, 10, 20) for span in (1, 10, 60)),
)
"""Features of the order book, for as many levels as a file has."""
