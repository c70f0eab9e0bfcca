"""A seeded synthetic market with a planted, learnable, known signal. Nothing here is a real price.

The recipe, for each symbol: taker flow brings news x[t] ~ N(0, 1), visible in the bar as the share
of taker buying. News acts for a while: pressure z[t] = phi z[t-1] + sqrt(1 - phi^2) x[t]. The next
return follows it: r[t+1] = sigma (k z[t] + sqrt(1 - k^2) e[t+1]) with e ~ N(0, 1) unseen. With
k = 0 (`signal=0`) prices are a martingale and nothing can be learned.

Given the past, the return over h bars is normal with a known mean and variance, so the best
possible classifier is known: see `bayes_probabilities`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import norm

from core.config import SyntheticConfig
from core.market.bars import Bars, interval_seconds

EXCHANGE = "synthetic"
PHI = 0.8
SIGMA = 0.002
_START = pd.Timestamp("2024-01-01", tz="UTC")
_FIRST_PRICE = 100.0


def pressure(config: SyntheticConfig, symbol: int) -> np.ndarray:
    """The hidden state z `[T]` of the given symbol, known from its bars up to t."""
    news = _generators(config, symbol)[0].standard_normal(config.bars)
    return np.asarray(lfilter([np.sqrt(1 - PHI**2)], [1.0, -PHI], news))


def start_microseconds() -> int:
    """Opening of the first bar, in epoch microseconds."""
    return int(_START.timestamp()) * 1_000_000


def make(config: SyntheticConfig, interval: str) -> list[Bars]:
    """The bars of every symbol of the synthetic market."""
    return [
        Bars(EXCHANGE, name, interval, _frame(config, symbol, interval)) for symbol, name in enumerate(config.symbols)
    ]


def _generators(config: SyntheticConfig, symbol: int) -> list[np.random.Generator]:
    """Independent streams for the news, the unseen shocks and the bars' looks of one symbol."""
    seeds = np.random.SeedSequence([config.seed, symbol]).spawn(3)
    return [np.random.default_rng(seed) for seed in seeds]


def _frame(config: SyntheticConfig, symbol: int, interval: str) -> pd.DataFrame:
    news_stream, shock_stream, look_stream = _generators(config, symbol)
    news = news_stream.standard_normal(config.bars)
    z = pressure(config, symbol)
    shocks = shock_stream.standard_normal(config.bars)
    drift = np.concatenate([[0.0], config.signal * z[:-1]])
    close = _FIRST_PRICE * np.exp(np.cumsum(SIGMA * (drift + np.sqrt(1 - config.signal**2) * shocks)))
    open_ = np.concatenate([[_FIRST_PRICE], close[:-1]])
    wick = 1 + SIGMA / 2 * look_stream.exponential(size=(2, config.bars))
    volume = 100 * np.exp(0.3 * look_stream.standard_normal(config.bars))
    return pd.DataFrame(
        {
            "timestamp": _START + pd.to_timedelta(np.arange(config.bars) * interval_seconds(interval), unit="s"),
            "open": open_,
            "high": np.maximum(open_, close) * wick[0],
            "low": np.minimum(open_, close) / wick[1],
            "close": close,
            "volume": volume,
            "taker_buy_base": volume * norm.cdf(news / 2),
        }
    )


def bayes_probabilities(z: np.ndarray, signal: float, horizon: int, low: float, high: float) -> np.ndarray:
    """Probabilities of SELL, HOLD, BUY for one who knows the recipe: no forecast can be better.

    Args:
        z: pressure `[T]`.
        signal: k of the recipe.
        horizon: h, in bars.
        low: border between SELL and HOLD, in log return.
        high: border between HOLD and BUY.

    Returns:
        float64 `[T, 3]`.
    """
    mean, deviation = forward_moments(z, signal, horizon)
    sell = norm.cdf((low - mean) / deviation)
    buy = norm.sf((high - mean) / deviation)
    return np.stack([sell, 1 - sell - buy, buy], axis=1)


def forward_moments(z: np.ndarray, signal: float, horizon: int) -> tuple[np.ndarray, float]:
    """Mean `[T]` and standard deviation of the log return from t to t+h, given all up to t.

    With z[t+j] = phi^j z[t] + sqrt(1-phi^2) sum_{i<=j} phi^(j-i) x[t+i], the return is the sum over
    j = 0..h-1 of sigma k z[t+j], plus h independent shocks.
    """
    mean = SIGMA * signal * z * sum(PHI**j for j in range(horizon))
    # News x[t+i], i = 1..h-1, enters the drifts j = i..h-1.
    news = sum(sum(PHI ** (j - i) for j in range(i, horizon)) ** 2 for i in range(1, horizon))
    variance = SIGMA**2 * (signal**2 * (1 - PHI**2) * news + horizon * (1 - signal**2))
    return mean, float(np.sqrt(variance))
