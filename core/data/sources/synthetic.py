"""A seeded synthetic market with a planted, learnable, known signal. Nothing here is a real price.

The recipe, for each symbol: taker flow brings news x[t] ~ N(0, 1), visible in the bar as the share
of taker buying. News acts for a while: pressure z[t] = phi z[t-1] + sqrt(1 - phi^2) x[t]. The next
return follows it: r[t+1] = sigma[t+1] (k z[t] + sqrt(1 - k^2) e[t+1]) with e ~ N(0, 1) unseen. With
k = 0 (`signal: 0`) log prices are a martingale and no direction can be learned.

With `shape: switching` the market goes through times of follow-through and times of reversal, in which returns run
against the pressure; the latter show in high volume. Pressure alone says nothing of the direction, both together do: no
linear model of them can tell.

The deviation sigma is constant, or a GARCH(1,1) (Bollerslev 1986), or switches between a calm and a
wild regime; the last two can be forecast, though direction cannot. With a constant one, and without
outliers, the return over h bars given the past is normal with a known mean and variance, so the best
possible forecast is known: see `bayes_probabilities`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import norm

from core.config import SyntheticConfig
from core.data.bars import Bars
from core.data.file_format import EXCHANGE, interval_seconds
from core.errors import ConfigError

PHI = 0.8
SIGMA = 0.002
GARCH_ALPHA, GARCH_BETA = 0.10, 0.88
REGIME_FACTORS, REGIME_STAY = (0.5, 2.0), 0.995
SWITCH_STAY, REVERSAL_VOLUME = 0.99, 4.0
_MAX_GAP_BARS = 60
_MAX_SECONDS = 100 * 365 * 86_400
_JUMPS = (0.05, 0.5)
_START = pd.Timestamp("2024-01-01", tz="UTC")
_FIRST_PRICE = 100.0
_COMMON = 1_000_000
"""Place of the common shocks among the seeds, beyond any symbol's."""


def start_microseconds() -> int:
    """Opening of the first bar, in epoch microseconds."""
    return int(_START.timestamp()) * 1_000_000


def pressure(config: SyntheticConfig, symbol: int) -> np.ndarray:
    """The hidden state z `[T]` of the given symbol, known from its bars up to t."""
    news = _streams(config, symbol)[0].standard_normal(config.bars)
    return np.asarray(lfilter([np.sqrt(1 - PHI**2)], [1.0, -PHI], news))


def side(config: SyntheticConfig, symbol: int) -> np.ndarray:
    """Whether returns follow the pressure (1) or run against it (-1), `[T]`."""
    if config.shape == "linear":
        return np.ones(config.bars)
    switches = _streams(config, symbol)[5].random(config.bars) > SWITCH_STAY
    return np.asarray(1.0 - 2.0 * (np.cumsum(switches) % 2))


def make_bars(config: SyntheticConfig, interval: str) -> list[Bars]:
    """The bars of every symbol of the synthetic market.

    Raises:
        ConfigError: they would last longer than a century.
    """
    if config.bars * interval_seconds(interval) > _MAX_SECONDS:
        raise ConfigError(f"{config.bars} synthetic bars of {interval} last longer than a century", "Make fewer")
    return [
        Bars(EXCHANGE, name, interval, _frame(config, symbol, interval)) for symbol, name in enumerate(config.symbols)
    ]


def _streams(config: SyntheticConfig, symbol: int) -> list[np.random.Generator]:
    """Independent streams of one symbol: news, unseen shocks, the bars' looks, regimes, damage, switches."""
    seeds = np.random.SeedSequence([config.seed, symbol]).spawn(6)
    return [np.random.default_rng(seed) for seed in seeds]


def _frame(config: SyntheticConfig, symbol: int, interval: str) -> pd.DataFrame:
    news_stream, shock_stream, look_stream, regime_stream, damage_stream, _ = _streams(config, symbol)
    news = news_stream.standard_normal(config.bars)
    drift = np.concatenate([[0.0], config.signal * (side(config, symbol) * pressure(config, symbol))[:-1]])
    common = _streams(config, _COMMON)[0].standard_normal(config.bars)
    own = shock_stream.standard_normal(config.bars)
    shocks = np.sqrt(config.correlation) * common + np.sqrt(1 - config.correlation) * own
    standard = drift + np.sqrt(1 - config.signal**2) * shocks
    returns = _deviations(config, standard, regime_stream) * standard
    where = damage_stream.choice(np.arange(1, config.bars), size=min(config.outliers, config.bars - 1), replace=False)
    returns[where] += damage_stream.uniform(*_JUMPS, len(where)) * damage_stream.choice([-1, 1], len(where))
    close = _FIRST_PRICE * np.exp(np.cumsum(returns))
    open_ = np.concatenate([[_FIRST_PRICE], close[:-1]])
    wick = 1 + SIGMA / 2 * look_stream.exponential(size=(2, config.bars))
    volume = 100 * np.exp(0.3 * look_stream.standard_normal(config.bars))
    volume *= np.where(side(config, symbol) < 0, REVERSAL_VOLUME, 1.0)
    frame = pd.DataFrame(
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
    return _with_gaps(frame, config.gaps, damage_stream)


def _deviations(config: SyntheticConfig, standard: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """Standard deviation of each return `[T]`, known one bar ahead."""
    if config.variance == "constant":
        return np.full(len(standard), SIGMA)
    if config.variance == "regime":
        switches = stream.random(len(standard)) > REGIME_STAY
        return np.asarray(SIGMA * np.array(REGIME_FACTORS)[np.cumsum(switches) % 2])
    variance = np.empty(len(standard))
    latest = SIGMA**2
    omega = SIGMA**2 * (1 - GARCH_ALPHA - GARCH_BETA)
    for place, value in enumerate(standard):
        variance[place] = latest
        latest = omega + latest * (GARCH_ALPHA * value**2 + GARCH_BETA)
    return np.sqrt(variance)


def _with_gaps(frame: pd.DataFrame, gaps: int, stream: np.random.Generator) -> pd.DataFrame:
    keep = np.ones(len(frame), dtype=bool)
    for _ in range(gaps):
        start = int(stream.integers(1, len(frame) - 1))
        keep[start : min(start + int(stream.integers(1, _MAX_GAP_BARS + 1)), len(frame) - 1)] = False
    return frame[keep].reset_index(drop=True)


def has_known_optimum(config: SyntheticConfig) -> bool:
    """Whether `bayes_probabilities` holds for this market."""
    return config.shape == "linear" and config.variance == "constant" and config.outliers == 0


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
    # Far out, the two tails round to a sum just over 1.
    return np.stack([sell, np.maximum(1 - sell - buy, 0.0), buy], axis=1)


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
