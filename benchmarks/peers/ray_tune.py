"""The search of a stock Ray Tune script: `OptunaSearch` proposes and `ASHAScheduler` stops, with their defaults.

Both are asked without Tune's loop, in the order in which it asks them: the scheduler sees a result first, then the
searcher; the searcher learns the last value of each trial as that of a complete one, stopped trials included.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.peers.campaign import Trial, plain_space
from search.simulation.problem import Problem
from search.study.trial_record import EpochRecord

_NO_LOOP: Any = None
"""Stands for Tune's loop, which this scheduler is handed and does not use."""


class RayTuneSearch:
    """One searcher and one scheduler."""

    def __init__(self, problem: Problem, seed: int) -> None:
        """Prepare a campaign.

        Args:
            problem: the problem.
            seed: seed of Optuna's sampler.
        """
        space = {name: dimension.distribution() for name, dimension in plain_space(problem.space).items()}
        self._searcher = OptunaSearch(space=space, metric="value", mode="max", seed=seed)
        self._scheduler = ASHAScheduler(metric="value", mode="max", max_t=problem.max_epochs)
        self._trials: dict[int, Any] = {}

    def ask(self) -> Trial:
        """Return a new trial, see `Search`."""
        number = len(self._trials)
        params = self._searcher.suggest(str(number))
        assert isinstance(params, dict)
        self._trials[number] = SimpleNamespace(trial_id=str(number))
        self._scheduler.on_trial_add(_NO_LOOP, self._trials[number])
        return Trial(number, params)

    def tell(self, trial: Trial, record: EpochRecord) -> bool:
        """Return whether the scheduler lets the trial go on, see `Search`."""
        result = {"value": record.value, "training_iteration": record.epoch}
        action = self._scheduler.on_trial_result(_NO_LOOP, self._trials[trial.number], result)
        self._searcher.on_trial_result(str(trial.number), result)
        if action == TrialScheduler.CONTINUE:
            return True
        self._scheduler.on_trial_complete(_NO_LOOP, self._trials[trial.number], result)
        self._searcher.on_trial_complete(str(trial.number), result)
        return False
