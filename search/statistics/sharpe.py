"""The Probabilistic Sharpe Ratio: the probability that the true Sharpe ratio lies above a benchmark.

Bailey and López de Prado 2012, "The Sharpe Ratio Efficient Frontier". All ratios are those of one period, not
annualised.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import kurtosis, norm, skew

CERTAIN_SHARPE = 0.95
"""A Probabilistic Sharpe Ratio above this counts as tradable."""


def sharpe_ratio(returns: np.ndarray) -> float:
    """Return the mean of returns `[T]` over their standard deviation; 0 where they do not vary."""
    deviation = float(np.std(returns)) if len(returns) else 0.0
    return float(np.mean(returns)) / deviation if deviation > 0 else 0.0


def probabilistic_sharpe(ratio: float, benchmark: float, periods: int, skewness: float, kurt: float) -> float:
    """Compute the probability that the true Sharpe ratio lies above a benchmark.

    Equation 11 of the paper.

    Args:
        ratio: the observed Sharpe ratio of one period, not annualised.
        benchmark: Sharpe ratio to beat.
        periods: number of periods T over which the ratio was observed.
        skewness: skewness of the returns.
        kurt: kurtosis of the returns; 3 for a normal distribution.

    Returns:
        A probability; NaN with fewer than two periods, or where the variance of the ratio's estimate is not positive.
    """
    spread = 1 - skewness * ratio + (kurt - 1) / 4 * ratio**2
    if periods < 2 or spread <= 0:
        return float("nan")
    return float(norm.cdf((ratio - benchmark) * np.sqrt(periods - 1) / np.sqrt(spread)))


def probabilistic_sharpe_of(returns: np.ndarray, benchmark: float = 0.0) -> float:
    """Compute the probability that the true Sharpe ratio of returns lies above a benchmark.

    Args:
        returns: `[T]`, one a period.
        benchmark: Sharpe ratio to beat.

    Returns:
        A probability; NaN where the returns do not vary.
    """
    if len(returns) < 2 or np.std(returns) == 0:
        return float("nan")
    skewness, kurt = float(skew(returns)), float(kurtosis(returns, fisher=False))
    return probabilistic_sharpe(sharpe_ratio(returns), benchmark, len(returns), skewness, kurt)
