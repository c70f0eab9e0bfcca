"""Searches of this project: the study and the controller of a real campaign; and random search, the yardstick."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.campaign import Trial
from search.simulation.problem import Problem
from search.simulation.simulate import Strategy, make_controller
from search.study.controller import Budget
from search.study.trial_record import EpochRecord, TrialRecord

_MANY = 1_000_000
"""Number of trials that no campaign reaches: its budget is a number of epochs."""


class RandomSearch:
    """Trains each trial to the end; its hyperparameters are drawn from the space alike."""

    def __init__(self, problem: Problem, seed: int) -> None:
        """Prepare a campaign."""
        self._problem, self._rng, self._asked = problem, np.random.default_rng(seed), 0

    def ask(self) -> Trial:
        """Return a new trial, see `Search`."""
        self._asked += 1
        return Trial(
            self._asked, {name: of_name.at(self._rng.random(1))[0] for name, of_name in self._problem.space.items()}
        )

    def tell(self, trial: Trial, record: EpochRecord) -> bool:
        """Return whether the trial goes on, see `Search`."""
        return record.epoch < self._problem.max_epochs


class ControllerSearch:
    """A strategy of this project."""

    def __init__(self, problem: Problem, strategy: Strategy, workers: int, seed: int) -> None:
        """Prepare a campaign.

        Args:
            problem: the problem.
            strategy: the settings of the search.
            workers: number of trials that run at a time.
            seed: seed of the sampler.
        """
        self._controller = make_controller(problem, strategy, workers, Budget(_MANY), seed, clock=lambda: 0.0)

    def ask(self) -> Trial | None:
        """Return the trial that the controller starts or promotes, see `Search`."""
        trial = self._controller.next_trial()
        return Trial(trial.number, trial.params, trial.last_epoch) if isinstance(trial, TrialRecord) else None

    def tell(self, trial: Trial, record: EpochRecord) -> bool:
        """Let the controller decide, see `Search`."""
        if self._controller.on_report(trial.number, record) == "continue":
            return True
        self._controller.on_released(trial.number, self._controller.study.trials[trial.number].attempt_id)
        return False
