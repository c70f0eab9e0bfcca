"""Searches of Syne Tune: ASHA that stops, with a model. Salinas et al. 2022, AutoML conference, "Syne Tune".

Its version 0.16 has no MOBSTER any more; CQR (conformal quantile regression, Salinas et al. 2023, arXiv:2305.03623) and
BOHB with asynchronous halving are what it offers for learning curves.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
from syne_tune import config_space
from syne_tune.backend.trial_status import Trial as SyneTrial
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler

from benchmarks.peers.campaign import Trial, plain_space
from search.simulation.problem import Problem
from search.study.space import Choice, IntRange, Range
from search.study.trial_record import EpochRecord


def _domain(dimension: Range | IntRange | Choice) -> Any:
    """Return a dimension as Syne Tune takes it."""
    if isinstance(dimension, Choice):
        return config_space.choice(list(dimension.values))
    if isinstance(dimension, IntRange):
        return (config_space.lograndint if dimension.log else config_space.randint)(dimension.low, dimension.high)
    return (config_space.loguniform if dimension.log else config_space.uniform)(dimension.low, dimension.high)


class SyneTuneSearch:
    """One scheduler."""

    def __init__(self, problem: Problem, scheduler: Callable[..., TrialScheduler], seed: int) -> None:
        """Prepare a campaign.

        Args:
            problem: the problem.
            scheduler: one of `syne_tune.optimizer.baselines` that stops trials.
            seed: seed of the scheduler; some of them draw from NumPy's global generator, too, which is seeded alike.
        """
        np.random.seed(seed)  # noqa: NPY002
        self._scheduler = scheduler(
            {name: _domain(of_name) for name, of_name in plain_space(problem.space).items()},
            metric="value", time_attr="epoch", max_t=problem.max_epochs, do_minimize=False, random_seed=seed,
        )  # fmt: skip
        self._trials: list[SyneTrial] = []

    def ask(self) -> Trial:
        """Return a new trial, see `Search`."""
        suggestion = self._scheduler.suggest()
        number = len(self._trials)
        self._trials.append(SyneTrial(number, suggestion.config, datetime.now()))
        self._scheduler.on_trial_add(self._trials[number])
        return Trial(number, suggestion.config)

    def tell(self, trial: Trial, record: EpochRecord) -> bool:
        """Return whether the scheduler lets the trial go on, see `Search`."""
        result = {"value": record.value, "epoch": record.epoch}
        action = self._scheduler.on_trial_result(self._trials[trial.number], result)
        return bool(action == SchedulerDecision.CONTINUE)
