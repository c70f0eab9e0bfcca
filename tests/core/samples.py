"""Small made-up inputs for the tests of core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from core.config import (
    AugmentConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    SyntheticConfig,
    TrainerConfig,
    TrainingConfig,
)
from core.dataset import Dataset, fit
from core.market.bars import Bars
from core.market.reader import bars_market
from core.splits import main_borders

WINDOW = 16
HORIZON = 3
NO_AUGMENTATION = AugmentConfig(mixup_alpha=0.0, time_mask=0.0, noise_std=0.0, feature_dropout=0.0)


def market_config(bars: int = 4000, symbols: tuple[str, ...] = ("SYN",), signal: float = 0.8) -> DataConfig:
    synthetic = SyntheticConfig(bars=bars, symbols=symbols, signal=signal, seed=3)
    return DataConfig(synthetic=synthetic, window=WINDOW, horizon=HORIZON)


def recipe(augment: AugmentConfig = NO_AUGMENTATION, dropout: float = 0.1, **trainer: Any) -> TrainingConfig:
    settings = {"learning_rate": 1e-3, "batch_size": 64, "schedule": "constant", "epochs": 3, "patience": None}
    return TrainingConfig(
        model=ModelConfig(size="quick", dropout=dropout),
        loss=LossConfig(focal_gamma=1.0, label_smoothing=0.05),
        augment=augment,
        trainer=TrainerConfig(**(settings | trainer)),
    )


def cut(dataset: Dataset, train: int, val: int = 128) -> Dataset:
    """The same dataset with fewer windows, for tests that need epochs, not learning."""
    return replace(dataset, train=dataset.train[:train], val=dataset.val[:val])


def random_bars(count: int = 400, seed: int = 0, symbol: str = "BTCUSDT", interval: str = "5m") -> Bars:
    """Bars of a random walk that pass every check, with taker flow."""
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
    """The dataset of the main splits of these bars."""
    market = bars_market(all_bars, config)
    return fit(market, config, main_borders(market.span, config))


def without_rows(bars: Bars, dropped: np.ndarray) -> Bars:
    keep = np.ones(len(bars.frame), dtype=bool)
    keep[dropped] = False
    return replace(bars, frame=bars.frame[keep].reset_index(drop=True))
