"""Defines what a search is simulated on: a space, the learning curves in it, and the true quality of each point.

A problem is made for one simulated campaign: its learning curves have the noise of that campaign's seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from search.engine.simulated import LearningCurves
from search.study.space import Dimension


class Problem(LearningCurves, Protocol):
    """Learning curves over a space of hyperparameters, whose true quality is known.

    Attributes:
        space: range of each hyperparameter, by name.
        max_epochs: number of epochs of the longest curve.
    """

    space: Mapping[str, Dimension]
    max_epochs: int

    @property
    def best(self) -> float:
        """The quality of the best hyperparameters that are known."""

    @property
    def typical(self) -> float:
        """The median quality of hyperparameters that are drawn at random."""

    def quality(self, params: Mapping[str, Any]) -> float:
        """Return the true quality of hyperparameters, without noise and on data that no search sees; higher is better.

        Args:
            params: the hyperparameters by name.
        """


def regret(problem: Problem, quality: float) -> float:
    """Return by how much a quality falls short of the best: 0 for the best, 1 for what a random draw typically has.

    Where all hyperparameters are equally good there is nothing to lose: 0.

    Args:
        problem: the problem.
        quality: quality of the hyperparameters that a search has picked.
    """
    spread = problem.best - problem.typical
    return (problem.best - quality) / spread if spread else 0.0
