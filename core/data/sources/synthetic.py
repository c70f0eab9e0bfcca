"""A seeded synthetic market with a planted, learnable, known signal. Nothing here is a real price.

The model, for each symbol: taker flow brings news x[t] ~ N(0, 1), which shows in the bar as the share of taker buying.
News acts for several bars: pressure z[t] = phi z[t-1] + sqrt(1 - phi^2) x[t]. The next return follows the pressure:
r[t+1] = sigma[t+1] (k z[t] + sqrt(1 - k^2) e[t+1]) with unseen e ~ N(0, 1). With k = 0 (`signal: 0`) log prices are a
martingale and no direction can be learned.

With `shape: switching` the market alternates between periods in which returns follow the pressure and periods in which
they run against it; the latter have high volume. Only pressure and volume together predict the direction, which no
linear model of them can.

With `shape: delayed` the price follows news only six and seven bars later, and turns back another four bars later:
z[t] = (x[t-6] + x[t-7] - x[t-10] - x[t-11]) / 2. At a horizon of three bars, the averages of the taker flow that are
among the features say nothing of that sum: what comes next shows only in the sequence of the bars.

The standard deviation sigma is constant, or a GARCH(1,1) (Bollerslev 1986), or switches between a calm and a wild
regime; the last two can be forecast even where the direction cannot. With a constant one, and without outliers, the
return over h bars given the past is normal with a known mean and variance, so the best possible forecast is known: see
`forward_moments` and `bayes_probabilities`.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.stats import norm

from core.config import SyntheticConfig
from core.data.bars import Bars
from core.data.file_format import DAY, SYNTHETIC_EXCHANGE, datetime_microseconds, interval_microseconds
from core.errors import ConfigError

START = datetime_microseconds(datetime(2024, 1, 1, tzinfo=UTC))
"""When the first bar opens, in microseconds since 1970."""
PHI = 0.8
SIGMA = 0.002
DELAYED_WEIGHTS = np.array([0.0] * 6 + [0.5] * 2 + [0.0] * 2 + [-0.5] * 2)
"""What news contributes to the pressure of `shape: delayed`, by the number of bars since."""
GARCH_ALPHA, GARCH_BETA = 0.10, 0.88
REGIME_FACTORS, REGIME_STAY = (0.5, 2.0), 0.995
SWITCH_STAY, REVERSAL_VOLUME = 0.99, 4.0
_MAX_GAP_BARS = 60
_MAX_LENGTH = 100 * 365 * DAY
_JUMP_SIZES = (0.05, 0.5)
_FIRST_PRICE = 100.0
_MEMORY_BARS = 200
"""After this many bars, nothing is left of news in the pressure of the other shapes: PHI^200 is below 1e-19."""
_COMMON = 1_000_000
"""Key of the seed of the common shocks, beyond the number of any symbol."""


def pressure(config: SyntheticConfig, symbol: int) -> np.ndarray:
    """Return the hidden pressure z of a symbol, `[T]`; z[t] can be computed from the bars up to t.

    Args:
        config: settings of the market.
        symbol: index of the symbol in `config.symbols`.
    """
    news = _streams(config, symbol)[0].standard_normal(config.bars)
    if config.shape == "delayed":
        return np.asarray(lfilter(DELAYED_WEIGHTS, [1.0], news))
    return np.asarray(lfilter([np.sqrt(1 - PHI**2)], [1.0, -PHI], news))


def side(config: SyntheticConfig, symbol: int) -> np.ndarray:
    """Return whether the returns of a symbol follow the pressure (1) or run against it (-1), `[T]`.

    Args:
        config: settings of the market.
        symbol: index of the symbol in `config.symbols`.
    """
    if config.shape != "switching":
        return np.ones(config.bars)
    switches = _streams(config, symbol)[5].random(config.bars) > SWITCH_STAY
    return np.asarray(1.0 - 2.0 * (np.cumsum(switches) % 2))


def make_bars(config: SyntheticConfig, interval: str) -> list[Bars]:
    """Generate the bars of every symbol of the synthetic market.

    Args:
        config: settings of the market.
        interval: length of a bar, for example 5m.

    Raises:
        ConfigError: the bars would last longer than a century.
    """
    if config.bars * interval_microseconds(interval) > _MAX_LENGTH:
        raise ConfigError(f"{config.bars} synthetic bars of {interval} last longer than a century", "Use fewer bars")
    return [
        Bars(SYNTHETIC_EXCHANGE, name, interval, _frame(config, symbol, interval))
        for symbol, name in enumerate(config.symbols)
    ]


def _streams(config: SyntheticConfig, symbol: int) -> list[np.random.Generator]:
    """Return independent generators of one symbol: news, unseen shocks, shape of bars, regimes, damage, switches."""
    seeds = np.random.SeedSequence([config.seed, symbol]).spawn(6)
    return [np.random.default_rng(seed) for seed in seeds]


def _frame(config: SyntheticConfig, symbol: int, interval: str) -> pd.DataFrame:
    news_stream, shock_stream, shape_stream, regime_stream, damage_stream, _ = _streams(config, symbol)
    news = news_stream.standard_normal(config.bars)
    drift = np.concatenate([[0.0], config.signal * (side(config, symbol) * pressure(config, symbol))[:-1]])
    common = _streams(config, _COMMON)[0].standard_normal(config.bars)
    idiosyncratic = shock_stream.standard_normal(config.bars)
    shocks = np.sqrt(config.correlation) * common + np.sqrt(1 - config.correlation) * idiosyncratic
    standardised = drift + np.sqrt(1 - config.signal**2) * shocks
    returns = _deviations(config, standardised, regime_stream) * standardised
    jumps = damage_stream.choice(np.arange(1, config.bars), size=min(config.outliers, config.bars - 1), replace=False)
    returns[jumps] += damage_stream.uniform(*_JUMP_SIZES, len(jumps)) * damage_stream.choice([-1, 1], len(jumps))
    close = _FIRST_PRICE * np.exp(np.cumsum(returns))
    open_ = np.concatenate([[_FIRST_PRICE], close[:-1]])
    wick = 1 + SIGMA / 2 * shape_stream.exponential(size=(2, config.bars))
    volume = 100 * np.exp(0.3 * shape_stream.standard_normal(config.bars))
    volume *= np.where(side(config, symbol) < 0, REVERSAL_VOLUME, 1.0)
    opened = START + np.arange(config.bars) * interval_microseconds(interval)
    frame = pd.DataFrame(
        {
            "timestamp": pd.to_datetime(opened, unit="us", utc=True),
            "open": open_,
            "high": np.maximum(open_, close) * wick[0],
            "low": np.minimum(open_, close) / wick[1],
            "close": close,
            "volume": volume,
            "taker_buy_base": volume * norm.cdf(news / 2),
        }
    )
    return _with_gaps(frame, config.gaps, damage_stream)


def _deviations(config: SyntheticConfig, standardised: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """Compute the standard deviation of each return, `[T]`, which is known one bar ahead.

    Args:
        config: settings of the market.
        standardised: returns in units of their standard deviation, `[T]`.
        stream: generator of the switches between regimes.
    """
    if config.variance == "constant":
        return np.full(len(standardised), SIGMA)
    if config.variance == "regime":
        switches = stream.random(len(standardised)) > REGIME_STAY
        return np.asarray(SIGMA * np.array(REGIME_FACTORS)[np.cumsum(switches) % 2])
    variances = np.empty(len(standardised))
    variance = SIGMA**2
    omega = SIGMA**2 * (1 - GARCH_ALPHA - GARCH_BETA)
    for bar, shock in enumerate(standardised):
        variances[bar] = variance
        variance = omega + variance * (GARCH_ALPHA * shock**2 + GARCH_BETA)
    return np.sqrt(variances)


def _with_gaps(frame: pd.DataFrame, gaps: int, stream: np.random.Generator) -> pd.DataFrame:
    """Drop stretches of bars at random, but neither the first nor the last bar."""
    keep = np.ones(len(frame), dtype=bool)
    for _ in range(gaps):
        start = int(stream.integers(1, len(frame) - 1))
        keep[start : min(start + int(stream.integers(1, _MAX_GAP_BARS + 1)), len(frame) - 1)] = False
    return frame[keep].reset_index(drop=True)


def has_known_optimum(config: SyntheticConfig) -> bool:
    """Return whether `forward_moments` holds for this market."""
    return config.shape != "switching" and config.variance == "constant" and config.outliers == 0


def forward_moments(config: SyntheticConfig, symbol: int, horizon: int) -> tuple[np.ndarray, float]:
    """Compute the mean and the standard deviation of the log return from t to t+h, given everything up to t.

    The return is the sum over j = 0..h-1 of sigma k z[t+j], plus h independent shocks. With w[l] the weight of news in
    the pressure l bars later, news x[t-m] enters that sum with w[m] + ... + w[m+h-1], and news x[t+i], which is not
    known yet, with w[0] + ... + w[h-1-i].

    Args:
        config: settings of the market.
        symbol: index of the symbol in `config.symbols`.
        horizon: h, the number of bars that the return spans.

    Returns:
        The mean `[T]`, and the standard deviation, which is the same for every bar.
    """
    weights = DELAYED_WEIGHTS if config.shape == "delayed" else np.sqrt(1 - PHI**2) * PHI ** np.arange(_MEMORY_BARS)
    sums = np.concatenate([np.cumsum(weights), np.full(horizon - 1, weights.sum())])  # of the weights up to each lag
    known = sums[horizon - 1 :] - np.concatenate([[0.0], sums[: len(weights) - 1]])
    unknown = sums[: horizon - 1]
    news = _streams(config, symbol)[0].standard_normal(config.bars)
    mean = SIGMA * config.signal * np.asarray(lfilter(known, [1.0], news))
    variance = SIGMA**2 * (config.signal**2 * np.sum(unknown**2) + horizon * (1 - config.signal**2))
    return mean, float(np.sqrt(variance))


def bayes_probabilities(mean: np.ndarray, deviation: float, low: float, high: float) -> np.ndarray:
    """Compute the probabilities of SELL, HOLD and BUY given the model of the market: no forecast can be better.

    Args:
        mean: mean of the log return after each bar, `[T]`.
        deviation: standard deviation of these returns.
        low: threshold between SELL and HOLD, a log return.
        high: threshold between HOLD and BUY, a log return.

    Returns:
        Probabilities, float64 `[T, 3]`.
    """
    sell = norm.cdf((low - mean) / deviation)
    buy = norm.sf((high - mean) / deviation)
    # Where one tail is almost certain, rounding can make the sum of both exceed 1.
    return np.stack([sell, np.maximum(1 - sell - buy, 0.0), buy], axis=1)
