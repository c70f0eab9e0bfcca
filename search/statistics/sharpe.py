"""The Deflated Sharpe Ratio: how likely a Sharpe ratio is above zero, given how many were tried.

Bailey and López de Prado 2014, "The Deflated Sharpe Ratio: Correcting for Selection Bias, Backtest Overfitting and
Non-Normality". All ratios are those of one period, not annualised.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import kurtosis, norm, skew


def sharpe(returns: np.ndarray) -> float:
    """Mean over standard deviation of returns `[T]`; 0 where they do not vary."""
    deviation = float(np.std(returns)) if len(returns) else 0.0
    return float(np.mean(returns)) / deviation if deviation > 0 else 0.0


def expected_largest(variance: float, trials: int) -> float:
    """The largest Sharpe ratio that so many trials without skill are expected to show (eq. 1).

    Args:
        variance: of the trials' Sharpe ratios.
        trials: how many were tried.
    """
    if trials < 2:
        return 0.0
    first, second = norm.ppf(1 - 1 / trials), norm.ppf(1 - 1 / (trials * np.e))
    return float(np.sqrt(variance) * ((1 - np.euler_gamma) * first + np.euler_gamma * second))


def probabilistic_sharpe(ratio: float, benchmark: float, periods: int, skewness: float, kurt: float) -> float:
    """Probability that the true ratio lies above a benchmark (Bailey and López de Prado 2012, eq. 11).

    Args:
        ratio: the one observed.
        benchmark: the one to beat.
        periods: T, over which it was observed.
        skewness: of the returns.
        kurt: their kurtosis; 3 for a normal distribution.
    """
    spread = 1 - skewness * ratio + (kurt - 1) / 4 * ratio**2
    if periods < 2 or spread <= 0:
        return float("nan")
    return float(norm.cdf((ratio - benchmark) * np.sqrt(periods - 1) / np.sqrt(spread)))


def deflated_sharpe(returns: np.ndarray, others: np.ndarray, trials: int) -> float:
    """Probability that returns `[T]` come from a Sharpe ratio above the best that luck would have found.

    Args:
        returns: of the one that was chosen, a value a period.
        others: Sharpe ratios of the trials whose returns are known.
        trials: how many were tried in all.

    Returns:
        NaN where the returns do not vary, or fewer than two other ratios are known.
    """
    if len(returns) < 2 or np.std(returns) == 0 or len(others) < 2:
        return float("nan")
    luck = expected_largest(float(np.var(others, ddof=1)), trials)
    shape = float(skew(returns)), float(kurtosis(returns, fisher=False))
    return probabilistic_sharpe(sharpe(returns), luck, len(returns), *shape)
