"""Compares candidates on the trainings that all of them have, while more are trained: who is behind the best for sure.

The scores form a table of candidates by cells (a cell is a fold with a seed). A candidate and a cell each have an
effect; what is left is the noise of training, whose variance is pooled over the table. This is the analysis of a
randomised complete block design, with the cells as the blocks. To drop candidates early by such comparisons is racing
(Maron and Moore 1994, "Hoeffding Races"; Birattari et al. 2002, whose F-race uses ranks in the place of scores).

Shapes: K candidates, N cells, M neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from core.evaluation.block_bootstrap import LEVEL, Interval

RISK = 1 - LEVEL
"""Probability with which a race may drop the best candidate, over all of its comparisons."""


@dataclass(frozen=True)
class Noise:
    """The noise of a single training, pooled over tables of scores.

    Attributes:
        deviation: standard deviation of what is left of a score without the effects of its candidate and its cell.
        freedom: degrees of freedom that it is estimated with; with 0 there is no estimate, and `deviation` is NaN.
    """

    deviation: float
    freedom: int

    def quantile(self, risk: float) -> float:
        """Return Student's quantile that is exceeded with a probability; infinite without an estimate.

        Args:
            risk: the probability, of one side.
        """
        return float(t.isf(risk, self.freedom)) if self.freedom > 0 else math.inf


def pooled_noise(tables: Sequence[np.ndarray]) -> Noise:
    """Return the noise of trainings, pooled over tables of scores.

    Args:
        tables: float `[K, N]` each, where K and N may differ; all scores are finite.
    """
    squares, freedom = 0.0, 0
    for scores in tables:
        candidates, cells = scores.shape
        if candidates > 1 and cells > 1:
            rest = scores - scores.mean(axis=1, keepdims=True) - scores.mean(axis=0) + scores.mean()
            squares += float((rest**2).sum())
            freedom += (candidates - 1) * (cells - 1)
    return Noise(math.sqrt(squares / freedom) if freedom else math.nan, freedom)


def gaps_to_best(scores: np.ndarray, look: int, starters: int) -> list[Interval]:
    """Return by how much each candidate is behind the best on average, with a bound that holds for the whole race.

    The bound allows for looking again and again: look j may err with probability `RISK` / (j (j + 1)), which adds up to
    `RISK` however many looks follow. Each look divides its share among the rivals that the truly best candidate may
    wrongly seem to be behind (Bonferroni).

    Args:
        scores: float `[K, N]`, the scores of the candidates that are in the race; a cell that does not define the score
            of all of them (NaN) is left out.
        look: number of this look, counted from 1.
        starters: number of candidates that the race began with.

    Returns:
        of each candidate the gap, at least 0, from `low` up to infinity; `low` is minus infinity where the cells are
        too few for a bound. Where it is above 0, the candidate is behind for sure.
    """
    scores = scores[:, np.isfinite(scores).all(axis=0)]
    if scores.shape[1] == 0:
        return [Interval(math.nan, -math.inf, math.inf)] * len(scores)
    means = scores.mean(axis=1)
    noise = pooled_noise([scores])
    if noise.freedom == 0:
        return [Interval(float(gap), -math.inf, math.inf) for gap in means.max() - means]
    risk = RISK / (look * (look + 1)) / max(starters - 1, 1)
    width = noise.quantile(risk) * noise.deviation * math.sqrt(2 / scores.shape[1])
    return [Interval(float(gap), float(gap - width), math.inf) for gap in means.max() - means]


def drop_to_neighbours(winner: np.ndarray, neighbours: np.ndarray, noise: Noise, starters: int) -> Interval:
    """Return by how much the winner is above the mean of its neighbours, on the cells that all of them have.

    The winner was chosen for its scores on these very cells, so that its mean is too high by chance. The interval is
    therefore as wide as it must be to hold for each of the candidates that it was chosen from (Bonferroni).

    Args:
        winner: float `[N]`, the winner's score in each cell.
        neighbours: float `[M, N]`, those of its neighbours.
        noise: the noise of a training, see `pooled_noise`.
        starters: number of candidates that the winner was chosen from.

    Returns:
        the mean drop, central 95 %; without bounds where the noise is not known, and NaN where no cell defines all
        scores.
    """
    is_defined = np.isfinite(winner) & np.isfinite(neighbours).all(axis=0)
    count = int(is_defined.sum())
    if count == 0:
        return Interval(math.nan, math.nan, math.nan)
    drop = float(winner[is_defined].mean() - neighbours[:, is_defined].mean())
    if noise.freedom == 0:
        return Interval(drop, math.nan, math.nan)
    width = noise.quantile(RISK / 2 / starters) * noise.deviation * math.sqrt((1 + 1 / len(neighbours)) / count)
    return Interval(drop, drop - width, drop + width)
