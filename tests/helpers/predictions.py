"""Made-up predictions for the tests of statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import lfilter
from scipy.special import softmax
from scipy.stats import norm

from search.statistics.weighted_metrics import Predictions

BAR = 300_000_000
HORIZON = 3


def predictions(count: int = 400, symbols: int = 2, skill: float = 0.0, seed: int = 0, **fields: Any) -> Predictions:
    """Independent rows, `symbols` to an instant."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count * symbols)
    logits = rng.standard_normal((count * symbols, 3))
    logits[np.arange(len(labels)), labels] += skill
    probabilities = softmax(logits, axis=1)
    fields.setdefault("losses", -np.log(probabilities[np.arange(len(labels)), labels]))
    return Predictions(np.tile(np.arange(count) * BAR, symbols), labels, probabilities, bar=BAR, **fields)


def slow(count: int, rng: np.random.Generator) -> np.ndarray:
    """A standard normal series that remembers some bars."""
    return np.asarray(lfilter([0.6], [1, -0.8], rng.standard_normal(count + 50))[50:])


def regimes(count: int, rng: np.random.Generator) -> np.ndarray:
    """Deviations that can be forecast: calm and wild times, `[T]`."""
    switches = np.cumsum(rng.random(count) > 0.98) + rng.integers(2)
    return np.where(switches % 2, 0.4, 2.0)


def market(count: int, rng: np.random.Generator, signal: float, volatile: bool) -> tuple[np.ndarray, ...]:
    """Drift in standard units and deviation, known at each bar, and its label, which looks `HORIZON` bars ahead."""
    bars = count + HORIZON
    deviations, shocks = regimes(bars, rng) if volatile else np.ones(bars), rng.standard_normal(bars)
    drift = slow(bars, rng)
    moved = np.sqrt(1 - signal**2) * shocks
    moved[1:] += signal * drift[:-1]
    price = np.concatenate([[0.0], np.cumsum(deviations * moved)])
    ahead = price[1 + HORIZON :] - price[1:-HORIZON]
    low, high = np.quantile(ahead, [0.25, 0.75])
    return drift[:count], deviations[1 : count + 1], np.where(ahead < low, 0, np.where(ahead > high, 2, 1))[:count]


def called(labels: np.ndarray, probabilities: np.ndarray) -> Predictions:
    """Predictions of one symbol, a row a bar."""
    return Predictions(np.arange(len(labels)) * BAR, labels, probabilities, bar=BAR)


def baselines(labels: np.ndarray, rng: np.random.Generator) -> dict[str, Predictions]:
    """Majority, persistence, and a model that sees nothing."""
    count = len(labels)
    before = np.full(count, 1)
    before[HORIZON:] = labels[:-HORIZON]
    noise = np.stack([slow(count, rng), np.full(count, 0.2), slow(count, rng)], axis=1)
    return {
        "majority": called(labels, np.tile([0.25, 0.5, 0.25], (count, 1))),
        "persistence": called(labels, np.eye(3)[before] * 0.8 + 0.2 / 3),
        "logistic regression": called(labels, softmax(noise, axis=1)),
    }


def bayes(
    drift: np.ndarray, signal: float, low: float | np.ndarray = -0.674, high: float | np.ndarray = 0.674
) -> np.ndarray:
    """About the best probabilities that one can have who knows the drift, `[T, 3]`."""
    mean = signal * drift * (1 + 0.8 + 0.64) / np.sqrt(HORIZON)
    sell, buy = norm.cdf(low - mean), norm.sf(high - mean)
    return np.stack([sell, 1 - sell - buy, buy], axis=1)
