"""Features of order books, computed from snapshots of the best levels of each side.

A feature of the k best levels is available where the file has them. Sizes enter as shares of each other, prices as
shares of the mid price, so that units do not matter.
"""

from __future__ import annotations

import numpy as np

from core.data.features.base import Feature
from core.data.features.rolling import lagged, log_share, mean, quotient
from core.data.file_format import Array, Columns, level_columns, mid_price, price_column, size_column

_BASIS_POINTS = 1e4
_DEPTH_ROWS = 60
"""Rows over which the usual depth is averaged."""


def _total_size(book: Columns, side: str, levels: int, first: int = 1) -> Array:
    """Sum the sizes of one side from the level `first` to the level `levels`."""
    return np.asarray(sum(book[size_column(side, level)] for level in range(first, levels + 1)))


def _depth(book: Columns, levels: int) -> Array:
    """Sum the sizes of both sides over the best levels."""
    return np.asarray(_total_size(book, "bid", levels) + _total_size(book, "ask", levels))


def _balance(bid: Array, ask: Array) -> Array:
    """Compute bid less ask over their sum; 0 where both are 0."""
    return quotient(bid - ask, bid + ask)


def _spread(book: Columns) -> Array:
    return np.asarray(_BASIS_POINTS * (book[price_column("ask", 1)] - book[price_column("bid", 1)]) / mid_price(book))


def _micro_price_gap(book: Columns) -> Array:
    return np.asarray(_spread(book) / 2 * _balance(book[size_column("bid", 1)], book[size_column("ask", 1)]))


def _distance(book: Columns, side: str, level: int) -> Array:
    """Compute the distance of a level from the mid price in basis points; positive, as the book is not crossed."""
    mid = mid_price(book)
    return np.asarray(_BASIS_POINTS * np.abs(book[price_column(side, level)] - mid) / mid)


def _mean_distance(book: Columns, side: str, levels: int) -> Array:
    """Compute the mean distance of the best levels of one side from the mid price, weighted by size."""
    weighted = sum(_distance(book, side, level) * book[size_column(side, level)] for level in range(1, levels + 1))
    return quotient(np.asarray(weighted), _total_size(book, side, levels))


def _arrivals(book: Columns, side: str, level: int) -> Array:
    """Compute the size that came to a level, or left it (< 0), since the row before; 0 in the first row.

    Cont, Kukanov & Stoikov 2014: at an unchanged price the change of size; at a better price the new size; at a worse
    price minus the size that was there.
    """
    price, size = book[price_column(side, level)], book[size_column(side, level)]
    price_before, size_before = lagged(price, 1), lagged(size, 1)
    better = price - price_before if side == "bid" else price_before - price
    return np.where(better >= 0, size, 0.0) - np.where(better <= 0, size_before, 0.0)


def order_flow(book: Columns, levels: int) -> Array:
    """Compute the order-flow imbalance of each row: what came to the bids less what came to the asks.

    Args:
        book: order-book columns, each `[T]`.
        levels: how many of the best levels to add up.
    """
    flows = (_arrivals(book, "bid", level) - _arrivals(book, "ask", level) for level in range(1, levels + 1))
    return np.asarray(sum(flows))


def _queue_imbalance(levels: int) -> Feature:
    return Feature(
        f"queue_imbalance_{levels}",
        f"size of the {levels} best bids less that of the asks, over both",
        "(B - A) / (B + A), Cao, Hansch & Wang 2009; 0 in an empty book",
        0,
        lambda book: _balance(_total_size(book, "bid", levels), _total_size(book, "ask", levels)),
        level_columns(levels),
    )


def _depth_surprise(levels: int) -> Feature:
    def compute(book: Columns) -> Array:
        depth = _depth(book, levels)
        return log_share(depth, mean(depth, _DEPTH_ROWS))

    return Feature(
        f"depth_surprise_{levels}",
        f"log of the size of the {levels} best levels over its mean of {_DEPTH_ROWS} rows",
        "log(D / mean(D) + 0.01); 0.01 in an empty book",
        _DEPTH_ROWS - 1,
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
        f"how much farther from the mid price the asks lie than the bids, over the {levels} best levels",
        "(d_ask - d_bid) / (d_ask + d_bid), d the mean distance weighted by size; after Naes & Skjeltorp 2006",
        0,
        lambda book: _balance(_mean_distance(book, "ask", levels), _mean_distance(book, "bid", levels)),
        level_columns(levels),
    )


def _deep_imbalance(levels: int) -> Feature:
    def deep(book: Columns, side: str) -> Array:
        return _total_size(book, side, levels, first=2)

    return Feature(
        f"deep_imbalance_{levels}",
        f"size of the bids less that of the asks, over both, from level 2 to {levels}",
        "(B - A) / (B + A) behind the best level, Cao, Hansch & Wang 2009; 0 where these are empty",
        0,
        lambda book: _balance(deep(book, "bid"), deep(book, "ask")),
        level_columns(levels),
    )


def _order_flow(levels: int, span: int) -> Feature:
    depth_rows = max(span, _DEPTH_ROWS)

    def compute(book: Columns) -> Array:
        return quotient(mean(order_flow(book, levels), span), mean(_depth(book, levels), depth_rows) / 2)

    return Feature(
        f"order_flow_{levels}_{span}",
        f"order-flow imbalance of the {levels} best levels, mean of {span} rows, over their mean depth per side",
        "Cont, Kukanov & Stoikov 2014; levels summed as in Xu, Gould & Howison 2018; 0 in an empty book",
        max(span, depth_rows - 1),
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
        (price_column("bid", 1), price_column("ask", 1)),
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
"""Features of the order book; a file has those of as many levels as it holds."""
