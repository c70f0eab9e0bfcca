"""Made-up columns of bars and of order books: ordinary ones, and all that passes the reader's checks."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

Columns = dict[str, np.ndarray]
PRICES = ("open", "high", "low", "close")
PLAIN = ("timestamp", *PRICES, "volume")
MONEY = ("quote_volume", "taker_buy_quote")
BASE = ("volume", "taker_buy_base")
JUMP = 0.8
KINDS = ("ordinary", "calm", "ticking", "frozen", "jumps", "silent", "flood")
stretches = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 150)), min_size=1, max_size=8)
prices = st.sampled_from([1e-6, 1.0, 60_000.1, 1e6])


def bars(count: int, seed: int = 0, price: float = 100.0, kinds: list[tuple[str, int]] | None = None) -> Columns:
    """Bars that pass every check of the reader.

    Args:
        count: number of bars.
        seed: of the random walk.
        price: where it starts.
        kinds: stretches (kind, bars), repeated until there are enough.
    """
    rng = np.random.default_rng(seed)
    kind = np.array([name for name, length in kinds or [("ordinary", 1)] for _ in range(length)])
    kind = np.resize(kind, count)
    frozen = kind == "frozen"
    size = np.select([kind == "calm", kind == "ticking"], [1e-5, 1e-7], 2e-3)
    move = size * rng.standard_normal(count)
    move[kind == "ticking"] *= rng.random((kind == "ticking").sum()) < 0.1
    move[kind == "jumps"] = JUMP * rng.choice([-1, 1], (kind == "jumps").sum())
    move[frozen] = 0.0
    close = price * np.exp(np.cumsum(move))
    before = np.concatenate([[price], close[:-1]])
    opened = np.where(frozen, close, before * np.exp(size * rng.standard_normal(count) / 4))
    wicks = np.where(frozen, 0.0, size * rng.exponential(0.5, (2, count)) * rng.integers(0, 2, (2, count)))
    volume = rng.exponential(50, count)
    volume[kind == "flood"] *= 1e12
    volume[frozen | (kind == "silent")] = 0.0
    paid = (opened + close) / 2
    buys = volume * rng.random(count)
    return {
        "open": opened,
        "high": np.maximum(opened, close) * (1 + wicks[0]),
        "low": np.minimum(opened, close) * (1 - wicks[1]),
        "close": close,
        "volume": volume,
        "quote_volume": volume * paid,
        "trades": np.where(volume > 0, rng.poisson(20, count) + 1.0, 0.0),
        "taker_buy_base": buys,
        "taker_buy_quote": buys * paid,
        "seconds": 1_709_251_200 + 300 * np.arange(count),
    }


def book(count: int, seed: int = 0, levels: int = 20, price: float = 100.0, size: float = 1.0) -> Columns:
    """Order-book rows that pass every check, some of them with empty levels, some without any size at all."""
    rng = np.random.default_rng(seed)
    tick = price * 1e-4
    middle = 10_000 + np.cumsum(rng.integers(-1, 2, count))
    columns: Columns = {"seconds": 1_709_251_200 + np.arange(count)}
    for side, sign in (("bid", -1), ("ask", 1)):
        steps = rng.integers(0, 3, (levels, count))
        steps[0] = 1 + rng.integers(0, 2, count)
        for level, offset in enumerate(np.cumsum(steps, axis=0), start=1):
            columns[f"{side}_px_{level}"] = tick * (middle + sign * offset)
            columns[f"{side}_sz_{level}"] = size * rng.exponential(3, count) * (rng.random(count) < 0.8)
    for name in columns:
        if "_sz_" in name:
            columns[name][count // 3 : count // 3 + 70] = 0.0
    columns["close"] = (columns["bid_px_1"] + columns["ask_px_1"]) / 2
    return columns


def part(columns: Columns, start: int, stop: int | None = None) -> Columns:
    return {name: column[start:stop] for name, column in columns.items()}


def joined(earlier: Columns, later: Columns) -> Columns:
    """One history from two. Its time is that of the later one, and what leads to it."""
    both = {name: np.concatenate([earlier[name], later[name]]) for name in earlier}
    step = later["seconds"][1] - later["seconds"][0]
    return both | {"seconds": later["seconds"][-1] + step * np.arange(1 - len(both["seconds"]), 1)}


def scaled(columns: Columns, price: float, size: float) -> Columns:
    """The same market in other units of price and of volume."""
    factors = dict.fromkeys(PRICES, price) | dict.fromkeys(BASE, size) | dict.fromkeys(MONEY, price * size)
    for name in columns:
        factors |= {name: price} if "_px_" in name else {name: size} if "_sz_" in name else {}
    return {name: column * factors.get(name, 1) for name, column in columns.items()}
