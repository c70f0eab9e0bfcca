"""Simulated predictions for the tests of statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.special import softmax
from scipy.stats import norm

from search.statistics.weighted_metrics import Predictions

BAR = 300_000_000
"""Length of a bar in microseconds."""
HORIZON = 3
"""Bars that a label of the simulated market looks ahead."""


def random_predictions(
    count: int = 400, symbols: int = 2, skill: float = 0.0, seed: int = 0, **fields: Any
) -> Predictions:
    """Return predictions of independent rows at `count` instants, of `symbols` rows each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count * symbols)
    logits = rng.standard_normal((count * symbols, 3))
    logits[np.arange(len(labels)), labels] += skill
    probabilities = softmax(logits, axis=1)
    fields.setdefault("losses", -np.log(probabilities[np.arange(len(labels)), labels]))
    return Predictions(np.tile(np.arange(count) * BAR, symbols), labels, probabilities, bar=BAR, **fields)


def autocorrelated(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return a standard normal AR(1) series, each value 0.8 times the one before plus noise."""
    return np.asarray(lfilter([0.6], [1, -0.8], rng.standard_normal(count + 50))[50:])


def volatility_regimes(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return a predictable volatility, which switches between calm and wild times, `[T]`."""
    switches = np.cumsum(rng.random(count) > 0.98) + rng.integers(2)
    return np.where(switches % 2, 0.4, 2.0)


def simulate_market(
    count: int, rng: np.random.Generator, signal: float, volatile: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulate a market of one symbol whose drift and volatility are known at each bar.

    Args:
        count: number of bars T.
        rng: source of drift and noise.
        signal: correlation of a bar's return with the drift.
        volatile: whether the volatility changes.

    Returns:
        Drift in standard units, volatility, and the label that looks `HORIZON` bars ahead, each `[T]`.
    """
    bars = count + HORIZON
    volatility, shocks = volatility_regimes(bars, rng) if volatile else np.ones(bars), rng.standard_normal(bars)
    drift = autocorrelated(bars, rng)
    returns = np.sqrt(1 - signal**2) * shocks
    returns[1:] += signal * drift[:-1]
    price = np.concatenate([[0.0], np.cumsum(volatility * returns)])
    change = price[1 + HORIZON :] - price[1:-HORIZON]
    low, high = np.quantile(change, [0.25, 0.75])
    return drift[:count], volatility[1 : count + 1], np.where(change < low, 0, np.where(change > high, 2, 1))[:count]


def one_symbol_predictions(labels: np.ndarray, probabilities: np.ndarray) -> Predictions:
    """Return predictions of one symbol with a row for each bar."""
    return Predictions(np.arange(len(labels)) * BAR, labels, probabilities, bar=BAR)


def baseline_predictions(labels: np.ndarray, rng: np.random.Generator) -> dict[str, Predictions]:
    """Return predictions of the majority, of persistence, and of a model that sees nothing of the market."""
    count = len(labels)
    previous = np.full(count, 1)
    previous[HORIZON:] = labels[:-HORIZON]
    noise = np.stack([autocorrelated(count, rng), np.full(count, 0.2), autocorrelated(count, rng)], axis=1)
    return {
        "majority": one_symbol_predictions(labels, np.tile([0.25, 0.5, 0.25], (count, 1))),
        "persistence": one_symbol_predictions(labels, np.eye(3)[previous] * 0.8 + 0.2 / 3),
        "logistic regression": one_symbol_predictions(labels, softmax(noise, axis=1)),
    }


def drift_forecast(
    drift: np.ndarray, signal: float, low: float | np.ndarray = -0.674, high: float | np.ndarray = 0.674
) -> np.ndarray:
    """Return about the best probabilities that can be given for a market whose drift is known.

    Args:
        drift: `[T]`, the drift at each bar in standard units.
        signal: correlation of a bar's return with the drift.
        low: threshold of the sell label, in standard units, one or `[T]`.
        high: threshold of the buy label; likewise.

    Returns:
        Probabilities `[T, 3]`.
    """
    mean = signal * drift * (1 + 0.8 + 0.64) / np.sqrt(HORIZON)
    sell, buy = norm.cdf(low - mean), norm.sf(high - mean)
    return np.stack([sell, 1 - sell - buy, buy], axis=1)


def random_rows(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return random labels `[N]` and probabilities `[N, 3]` that know nothing of them."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, count).astype(np.int8), rng.dirichlet([1, 1, 1], count)
