"""The Deflated Sharpe Ratio: the probability that a Sharpe ratio is real, given how many were tried.

Bailey and López de Prado 2014, "The Deflated Sharpe Ratio: Correcting for Selection Bias, Backtest Overfitting and
Non-Normality". All ratios are those of one period, not annualised.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import kurtosis, norm, skew


def sharpe_ratio(returns: np.ndarray) -> float:
    """Return the mean of returns `[T]` over their standard deviation; 0 where they do not vary."""
    deviation = float(np.std(returns)) if len(returns) else 0.0
    return float(np.mean(returns)) / deviation if deviation > 0 else 0.0


def expected_max_sharpe(variance: float, trials: int) -> float:
    """Return the largest Sharpe ratio expected among a number of trials without skill (eq. 1).

    Args:
        variance: variance of the trials' Sharpe ratios.
        trials: number of independent trials; with fewer than two the result is 0.
    """
    if trials < 2:
        return 0.0
    first, second = norm.ppf(1 - 1 / trials), norm.ppf(1 - 1 / (trials * np.e))
    return float(np.sqrt(variance) * ((1 - np.euler_gamma) * first + np.euler_gamma * second))


def probabilistic_sharpe(ratio: float, benchmark: float, periods: int, skewness: float, kurt: float) -> float:
    """Compute the probability that the true Sharpe ratio lies above a benchmark.

    Bailey and López de Prado 2012, "The Sharpe Ratio Efficient Frontier", eq. 11.

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


def deflated_sharpe(returns: np.ndarray, others: np.ndarray, trials: int) -> float:
    """Compute the probability that the chosen trial's true Sharpe ratio exceeds what luck alone would have found.

    Args:
        returns: `[T]`, returns of the chosen trial, one a period.
        others: `[K]`, Sharpe ratios of the trials whose returns are known.
        trials: number of trials in all, those without known returns included.

    Returns:
        A probability; NaN where the returns do not vary, or fewer than two other ratios are known.
    """
    if len(returns) < 2 or np.std(returns) == 0 or len(others) < 2:
        return float("nan")
    luck = expected_max_sharpe(float(np.var(others, ddof=1)), trials)
    skewness, kurt = float(skew(returns)), float(kurtosis(returns, fisher=False))
    return probabilistic_sharpe(sharpe_ratio(returns), luck, len(returns), skewness, kurt)
