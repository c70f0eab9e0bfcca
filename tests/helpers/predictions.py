"""Simulated predictions for the tests of statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax

from core.evaluation.decision import Decisions
from search.statistics.weighted_metrics import Predictions

BAR = 300_000_000
"""Length of a bar in microseconds."""


def random_predictions(
    count: int = 400, symbols: int = 2, skill: float = 0.0, seed: int = 0, bar: int = BAR, **fields: Any
) -> Predictions:
    """Return predictions of independent rows at `count` instants, of `symbols` rows each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count * symbols)
    logits = rng.standard_normal((count * symbols, 3))
    logits[np.arange(len(labels)), labels] += skill
    probabilities = softmax(logits, axis=1)
    fields.setdefault("losses", -np.log(probabilities[np.arange(len(labels)), labels]))
    return Predictions(np.tile(np.arange(count) * bar, symbols), labels, probabilities, bar=bar, **fields)


def random_rows(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return random labels `[N]` and probabilities `[N, 3]` that know nothing of them."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, count).astype(np.int8), rng.dirichlet([1, 1, 1], count)


def most_probable(probabilities: np.ndarray) -> Decisions:
    """Return decisions that call the most probable class, and take the probabilities for calibrated."""
    return Decisions(probabilities, probabilities.argmax(axis=1))
