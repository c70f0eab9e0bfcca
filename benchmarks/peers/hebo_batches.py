"""The search of HEBO: a Gaussian process on warped values. Cowen-Rivers et al. 2022, arXiv:2012.03826.

It knows no epochs: each trial is trained to the end. As HEBO proposes for several workers at a time, it is asked for
as many trials as there are workers whenever all that it had proposed are running.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hebo.design_space.design_space import DesignSpace
from hebo.optimizers.hebo import HEBO

from benchmarks.peers.campaign import Trial, plain_space
from search.simulation.problem import Problem
from search.study.space import Choice, IntRange, Range
from search.study.trial_record import EpochRecord


def _parameter(name: str, dimension: Range | IntRange | Choice) -> dict[str, Any]:
    """Return a dimension as HEBO takes it."""
    if isinstance(dimension, Choice):
        return {"name": name, "type": "cat", "categories": list(dimension.values)}
    kinds = {(False, False): "num", (False, True): "pow", (True, False): "int", (True, True): "pow_int"}
    kind = kinds[isinstance(dimension, IntRange), dimension.log]
    return {"name": name, "type": kind, "lb": dimension.low, "ub": dimension.high}


class HeboSearch:
    """A campaign of HEBO."""

    def __init__(self, problem: Problem, workers: int, seed: int) -> None:
        """Prepare a campaign.

        Args:
            problem: the problem.
            workers: number of trials that run at a time.
            seed: seed of HEBO's first points; the rest draws from NumPy's and torch's global generators, seeded alike.
        """
        import torch

        np.random.seed(seed)  # noqa: NPY002  (HEBO takes no generator)
        torch.manual_seed(seed)
        space = DesignSpace().parse([_parameter(name, of_name) for name, of_name in plain_space(problem.space).items()])
        self._hebo = HEBO(space, scramble_seed=seed)
        self._workers, self._max_epochs = workers, problem.max_epochs
        self._proposed: list[pd.DataFrame] = []  # a row each, not asked for yet
        self._rows: dict[int, pd.DataFrame] = {}  # by number of the trial

    def ask(self) -> Trial:
        """Return a new trial, see `Search`."""
        if not self._proposed:
            batch = self._hebo.suggest(n_suggestions=self._workers)
            self._proposed = [batch.iloc[[row]] for row in range(len(batch))]
        number = len(self._rows)
        self._rows[number] = self._proposed.pop(0)
        return Trial(
            number, {str(name): np.asarray(value).item() for name, value in self._rows[number].iloc[0].items()}
        )

    def tell(self, trial: Trial, record: EpochRecord) -> bool:
        """Pass the value on at the end of the training, see `Search`."""
        if record.epoch < self._max_epochs:
            return True
        self._hebo.observe(self._rows[trial.number], np.array([[-record.value]]))
        return False
