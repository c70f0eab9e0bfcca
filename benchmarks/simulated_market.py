"""Simulated predictions: markets whose truth is known, and models with a given skill at them.

Nothing is trained. Bars of 15 minutes; a label looks `HORIZON` bars ahead. Shapes: T bars, N = T rows of one symbol.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.signal import lfilter
from scipy.special import softmax
from scipy.stats import norm

from core.evaluation.confusion import CALL_METRICS
from core.evaluation.decision import fit_decision_rule
from search.statistics.weighted_metrics import Predictions

BAR = 900_000_000
"""Length of a bar in microseconds."""
DAY = 96
"""Bars of a day."""
HORIZON = 3
"""Bars that a label looks ahead."""
_THRESHOLD = 0.674
"""Quartile of the normal distribution: a quarter of the labels is SELL, a quarter BUY."""
_MEMORY = 0.8
"""Autocorrelation of drift and forecasts from one bar to the next."""


def autocorrelated(count: int, rng: np.random.Generator, memory: float = _MEMORY) -> np.ndarray:
    """Return a standard normal AR(1) series `[T]`, each value `memory` times the one before plus noise."""
    burn_in = int(10 / (1 - memory))
    noise = rng.standard_normal(count + burn_in)
    return np.asarray(lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise)[burn_in:])


def slow(count: int, rng: np.random.Generator, days: float) -> np.ndarray:
    """Return a standard normal series `[T]` whose correlation falls to 1/e in some days."""
    return autocorrelated(count, rng, float(np.exp(-1 / (days * DAY))))


@dataclass(frozen=True)
class Market:
    """A market whose drift and volatility are known at each bar.

    Attributes:
        drift: `[T]`, the predictable part of the next bars, in standard units.
        volatility: `[T]`, the size of the next bars' changes.
        labels: int `[T]`, the class of each bar.
    """

    drift: np.ndarray
    volatility: np.ndarray
    labels: np.ndarray


def make_market(
    count: int, rng: np.random.Generator, signal: float, volatility: np.ndarray | None = None, trend: float = 0.0
) -> Market:
    """Simulate a market of one symbol.

    Args:
        count: number of bars T.
        rng: source of drift and noise.
        signal: correlation of a bar's return with the drift.
        volatility: `[T]`, size of the changes at each bar; by default always 1.
        trend: share of the variance of the returns that is a trend which lasts for about two days.
    """
    bars = count + HORIZON
    sizes = np.ones(bars) if volatility is None else np.append(volatility, np.full(HORIZON, volatility[-1]))
    drift = autocorrelated(bars, rng)
    returns = np.sqrt(1 - signal**2 - trend) * rng.standard_normal(bars) + np.sqrt(trend) * slow(bars, rng, days=2)
    returns[1:] += signal * drift[:-1]
    price = np.concatenate([[0.0], np.cumsum(sizes * returns)])
    change = price[1 + HORIZON :] - price[1:-HORIZON]
    low, high = np.quantile(change, [0.25, 0.75])
    labels = np.where(change < low, 0, np.where(change > high, 2, 1))[:count]
    return Market(drift[:count], sizes[1 : count + 1], labels)


def volatility_regimes(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return a volatility `[T]` that switches between calm and wild times, which last for about a day."""
    switches = np.cumsum(rng.random(count) > 1 - 1 / DAY) + rng.integers(2)
    return np.where(switches % 2, 0.5, 1.7)


def forecast(drift: np.ndarray, signal: float, volatility: np.ndarray | float = 1.0) -> np.ndarray:
    """Return about the best probabilities `[T, 3]` that can be given for a market whose drift is known.

    Args:
        drift: `[T]`, the drift that the model believes in, in standard units.
        signal: correlation of a bar's return with the drift.
        volatility: the volatility that the model believes in, one or `[T]`.
    """
    mean = signal * drift * (1 + _MEMORY + _MEMORY**2) / np.sqrt(HORIZON)
    sell, buy = norm.cdf(-_THRESHOLD / volatility - mean), norm.sf(_THRESHOLD / volatility - mean)
    return np.stack([sell, 1 - sell - buy, buy], axis=1)


def predictions_of(labels: np.ndarray, probabilities: np.ndarray) -> Predictions:
    """Return predictions of one symbol with a row for each bar."""
    return Predictions(np.arange(len(labels)) * BAR, labels, probabilities, bar=BAR)


def split_and_call(labels: np.ndarray, probabilities: np.ndarray, val: int) -> Predictions:
    """Return predictions of the rows behind val, called by the decision rule that val asks for.

    Args:
        labels: int `[T]`, of val and test.
        probabilities: `[T, 3]`, likewise.
        val: number of rows of val.
    """
    instants = np.arange(len(labels)) * BAR
    rule = fit_decision_rule(probabilities[:val], labels[:val], instants[:val], BAR, "macro_f1")
    test = predictions_of(labels[val:], probabilities[val:])
    return test.with_calls(rule.calls(test.probabilities, instants[val:]))


def baselines_of(labels: np.ndarray, val: int, rng: np.random.Generator) -> dict[str, Predictions]:
    """Return predictions of test by the majority, by persistence, and by a model that sees nothing of the market."""
    count = len(labels)
    previous = np.full(count, 1)
    previous[HORIZON:] = labels[:-HORIZON]
    noise = np.stack([autocorrelated(count, rng), np.full(count, 0.2), autocorrelated(count, rng)], axis=1)
    probabilities = {
        "majority": np.tile([0.25, 0.5, 0.25], (count, 1)),
        "persistence": np.eye(3)[previous] * 0.4 + 0.2,
        "logistic regression": softmax(noise / 4, axis=1),
    }
    return {name: split_and_call(labels, values, val) for name, values in probabilities.items()}


@dataclass(frozen=True)
class Case:
    """A market, and a model with a known skill at it.

    Attributes:
        name: what is simulated.
        predict: returns a market of `[T]` bars and the model's probabilities `[T, 3]`.
    """

    name: str
    predict: Callable[[int, np.random.Generator], tuple[Market, np.ndarray]]


def _no_skill(count: int, rng: np.random.Generator) -> tuple[Market, np.ndarray]:
    return make_market(count, rng, 0.0), forecast(autocorrelated(count, rng), 0.35)


def _volatility_skill(count: int, rng: np.random.Generator) -> tuple[Market, np.ndarray]:
    volatility = volatility_regimes(count, rng)
    return make_market(count, rng, 0.0, volatility), forecast(autocorrelated(count, rng), 0.35, volatility)


def _regimes(count: int, rng: np.random.Generator) -> tuple[Market, np.ndarray]:
    """Trends of days, and a model that for days believes in one direction, without knowing the trend."""
    volatility = volatility_regimes(count, rng)
    belief = 0.5 * autocorrelated(count, rng) + 0.87 * slow(count, rng, days=2)
    return make_market(count, rng, 0.0, volatility, trend=0.01), forecast(belief, 0.35, volatility)


def _comes_and_goes(count: int, rng: np.random.Generator) -> tuple[Market, np.ndarray]:
    """A model that is right about the direction for a day or so, and then as wrong."""
    volatility = volatility_regimes(count, rng)
    market = make_market(count, rng, 0.25, volatility)
    return market, forecast(
        _believed(market.drift, np.clip(slow(count, rng, days=1) / 2, -1, 1), rng), 0.35, volatility
    )


def _lucky_stretch(count: int, rng: np.random.Generator) -> tuple[Market, np.ndarray]:
    """A model with some skill in one fifth of the time, and as much too little in another."""
    volatility = volatility_regimes(count, rng)
    market = make_market(count, rng, 0.25, volatility)
    skill = np.zeros(5)
    skill[rng.permutation(5)[:2]] = 0.3, -0.3
    belief = _believed(market.drift, np.repeat(skill, -(-count // 5))[:count], rng)
    return market, forecast(belief, 0.35, volatility)


def _believed(drift: np.ndarray, skill: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return beliefs `[T]` whose correlation with the drift is the skill at each bar, `[T]`."""
    return np.asarray(skill * drift + np.sqrt(1 - skill**2) * autocorrelated(len(drift), rng))


def _survivor(count: int, rng: np.random.Generator) -> tuple[Market, np.ndarray]:
    """The best of 32 models without skill at direction, by macro-F1 on the first fifth of the time, which is val."""
    volatility = volatility_regimes(count, rng)
    market, first = make_market(count, rng, 0.0, volatility, trend=0.01), count // 5
    models = []
    for _ in range(32):
        belief = rng.normal() * 0.5 + 0.7 * autocorrelated(count, rng) + 0.5 * slow(count, rng, days=2)
        models.append(forecast(belief, 0.35, volatility))
    scores = [_macro_f1(market.labels[:first], model[:first]) for model in models]
    return market, models[int(np.argmax(scores))]


def _macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    counts = np.bincount(labels * 3 + probabilities.argmax(axis=1), minlength=9).reshape(1, 3, 3)
    return float(CALL_METRICS["macro_f1"](counts)[0])


def _skill_that_ends(count: int, rng: np.random.Generator) -> tuple[Market, np.ndarray]:
    """A model whose skill at direction is another in each fifth of the time, and none on average over all markets."""
    volatility = volatility_regimes(count, rng)
    market = make_market(count, rng, 0.25, volatility)
    skill = np.clip(np.repeat(rng.standard_normal(5) * 0.5, -(-count // 5))[:count], -1, 1)
    return market, forecast(_believed(market.drift, skill, rng), 0.35, volatility)


def _skilled(count: int, rng: np.random.Generator, signal: float) -> tuple[Market, np.ndarray]:
    market = make_market(count, rng, signal)
    return market, forecast(market.drift, signal)


def skilled(signal: float) -> Case:
    """Return a case whose model knows a drift that correlates with the returns.

    Args:
        signal: the correlation of a bar's return with the drift.
    """
    return Case(f"skill, signal {signal:.2f}", partial(_skilled, signal=signal))


NULLS = (
    Case("no skill", _no_skill),
    Case("volatility alone", _volatility_skill),
    Case("volatility, trends and beliefs of days", _regimes),
    Case("volatility, skill that comes and goes in a day", _comes_and_goes),
    Case("volatility, one lucky stretch", _lucky_stretch),
    Case("volatility, survivor of a search", _survivor),
)
"""Models without skill at direction; all but the first know the volatility, and mostly pass the lead."""
TRANSIENT_SKILL = Case("volatility, skill of another sign in each fifth", _skill_that_ends)
"""Skill that is real within a span and does not last: what one span of time cannot tell from skill that does."""
