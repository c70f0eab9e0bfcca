"""Generated bars, order books, configs and datasets for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from core.config import (
    AugmentConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    SyntheticConfig,
    TrainerConfig,
    TrainingConfig,
)
from core.data.bars import Bars
from core.data.dataset import Dataset, fit_dataset
from core.data.file_format import SECOND
from core.data.market import bars_market
from core.data.splits import main_borders

Columns = dict[str, np.ndarray]

PRICES = ("open", "high", "low", "close")
PLAIN = ("timestamp", *PRICES, "volume")
MONEY = ("quote_volume", "taker_buy_quote")
BASE = ("volume", "taker_buy_base")
JUMP = 0.8
"""Absolute log return of a bar that jumps."""
MARCH = 1_709_251_200 * SECOND
"""The first of March 2024, in microseconds since 1970."""
KINDS = ("ordinary", "calm", "ticking", "frozen", "jumps", "silent", "flood")
"""Kinds of bars, which differ in how prices move and how much is traded."""

stretches = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 150)), min_size=1, max_size=8)
prices = st.sampled_from([1e-6, 1.0, 60_000.1, 1e6])


def bars(count: int, seed: int = 0, price: float = 100.0, kinds: list[tuple[str, int]] | None = None) -> Columns:
    """Generate bars that pass every check of `core.data.validation`.

    Args:
        count: number of bars.
        seed: seed of the random walk.
        price: price at which the walk starts.
        kinds: kind and number of bars of each stretch; the stretches are repeated as often as needed.
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
        "timestamp": MARCH + 300 * SECOND * np.arange(count),
    }


def book(count: int, seed: int = 0, levels: int = 20, price: float = 100.0, size: float = 1.0) -> Columns:
    """Generate order-book rows that pass every check, some with empty levels and some without any size at all."""
    rng = np.random.default_rng(seed)
    tick = price * 1e-4
    middle = 10_000 + np.cumsum(rng.integers(-1, 2, count))
    columns: Columns = {"timestamp": MARCH + SECOND * np.arange(count)}
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
    """Return the rows from `start` to before `stop`."""
    return {name: column[start:stop] for name, column in columns.items()}


def joined(earlier: Columns, later: Columns) -> Columns:
    """Join two histories; the timestamps are those of the later one, continued backwards."""
    both = {name: np.concatenate([earlier[name], later[name]]) for name in earlier}
    bar = later["timestamp"][1] - later["timestamp"][0]
    return both | {"timestamp": later["timestamp"][-1] + bar * np.arange(1 - len(both["timestamp"]), 1)}


def scaled(columns: Columns, price: float, size: float) -> Columns:
    """Return the same market in other units of price and volume."""
    factors = dict.fromkeys(PRICES, price) | dict.fromkeys(BASE, size) | dict.fromkeys(MONEY, price * size)
    for name in columns:
        factors |= {name: price} if "_px_" in name else {name: size} if "_sz_" in name else {}
    return {name: column * factors.get(name, 1) for name, column in columns.items()}


WINDOW = 16
HORIZON = 3
NO_AUGMENTATION = AugmentConfig(mixup_alpha=0.0, time_mask=0.0, noise_std=0.0, feature_dropout=0.0)


def market_config(bars: int = 4000, symbols: tuple[str, ...] = ("SYN",), signal: float = 0.8) -> DataConfig:
    """Return the data config of a small synthetic market."""
    synthetic = SyntheticConfig(bars=bars, symbols=symbols, signal=signal, seed=3)
    return DataConfig(synthetic=synthetic, window=WINDOW, horizon=HORIZON)


def recipe(augment: AugmentConfig = NO_AUGMENTATION, dropout: float = 0.1, **trainer: Any) -> TrainingConfig:
    """Return the config of a short training; `trainer` overrides settings of the trainer."""
    settings = {"learning_rate": 1e-3, "batch_size": 64, "schedule": "constant", "epochs": 3, "patience": None}
    return TrainingConfig(
        model=ModelConfig(size="quick", dropout=dropout),
        loss=LossConfig(focal_gamma=1.0, label_smoothing=0.05),
        augment=augment,
        trainer=TrainerConfig(**(settings | trainer)),
    )


def cut(dataset: Dataset, train: int, val: int = 128) -> Dataset:
    """Return the dataset with fewer windows, for tests that need epochs but no learning."""
    return replace(dataset, train=dataset.train[:train], val=dataset.val[:val])


def random_bars(count: int = 400, seed: int = 0, symbol: str = "BTCUSDT", interval: str = "5m") -> Bars:
    """Generate bars of a random walk with taker flow, from the first of March 2024 on, that pass every check."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(0.002 * rng.standard_normal(count)))
    open_ = np.concatenate([[100.0], close[:-1]])
    volume = rng.exponential(50, count)
    frame = pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-03-01", periods=count, freq=interval.replace("m", "min"), tz="UTC"),
            "open": open_,
            "high": np.maximum(open_, close) * (1 + 0.001 * rng.random(count)),
            "low": np.minimum(open_, close) * (1 - 0.001 * rng.random(count)),
            "close": close,
            "volume": volume,
            "taker_buy_base": volume * rng.random(count),
        }
    )
    return Bars("binance", symbol, interval, frame)


def prepare(all_bars: Sequence[Bars], config: DataConfig) -> Dataset:
    """Make the dataset of the main splits of these bars."""
    market = bars_market(all_bars, config)
    return fit_dataset(market, config, main_borders(market.span, config))


def without_rows(bars: Bars, dropped: np.ndarray) -> Bars:
    """Return the bars without the rows of these numbers."""
    keep = np.ones(len(bars.frame), dtype=bool)
    keep[dropped] = False
    return replace(bars, frame=bars.frame[keep].reset_index(drop=True))
