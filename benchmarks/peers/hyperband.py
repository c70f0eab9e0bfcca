"""Searches of SMAC3 and DEHB, which ask for a configuration and for how many epochs it is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from ConfigSpace import Categorical, ConfigurationSpace, Float, Integer
from dehb import DEHB
from smac import MultiFidelityFacade, Scenario
from smac.runhistory.dataclasses import TrialValue

from benchmarks.peers.campaign import BudgetSearch, Request, plain_space
from search.simulation.problem import Problem
from search.study.space import Choice, Dimension, IntRange
from search.study.trial_record import EpochRecord

_FIRST_EPOCHS = 1
"""Fewest epochs that Hyperband may train a configuration for."""


def _configuration_space(space: Mapping[str, Dimension], seed: int) -> ConfigurationSpace:
    """Return a space as SMAC and DEHB take it."""
    dimensions = []
    for name, of_name in plain_space(space).items():
        if isinstance(of_name, Choice):
            dimensions.append(Categorical(name, list(of_name.values)))
        else:
            kind = Integer if isinstance(of_name, IntRange) else Float
            dimensions.append(kind(name, (of_name.low, of_name.high), log=of_name.log))
    result = ConfigurationSpace(seed=seed)
    result.add(dimensions)
    return result


class SmacSearch(BudgetSearch):
    """SMAC3's multi-fidelity facade: Hyperband with a random forest. Lindauer et al. 2022, arXiv:2109.09831."""

    def __init__(self, problem: Problem, folder: Path, trials: int, seed: int) -> None:
        """Prepare a campaign.

        Args:
            problem: the problem.
            folder: SMAC's output folder.
            trials: about how many requests the campaign has; a quarter of them are drawn at random.
            seed: seed of SMAC.
        """
        super().__init__(self._next_request)
        scenario = Scenario(
            _configuration_space(problem.space, seed), output_directory=folder, deterministic=True, n_trials=trials,
            min_budget=_FIRST_EPOCHS, max_budget=problem.max_epochs, seed=seed,
        )  # fmt: skip
        self._facade = MultiFidelityFacade(scenario, logging_level=False, overwrite=True)

    def _next_request(self) -> Request:
        info = self._facade.ask()

        def tell(record: EpochRecord) -> None:
            self._facade.tell(info, TrialValue(cost=_cost(record), time=record.seconds), save=False)

        return Request(dict(info.config), _epochs(info.budget), tell)


def _epochs(budget: float) -> int:
    return max(round(float(budget)), 1)


def _cost(record: EpochRecord) -> float:
    """Return what the libraries minimise."""
    return -record.value if math.isfinite(record.value) else math.inf


class DehbSearch(BudgetSearch):
    """DEHB: Hyperband with differential evolution. Awad et al. 2021, arXiv:2105.09821."""

    def __init__(self, problem: Problem, folder: Path, seed: int) -> None:
        """Prepare a campaign.

        Args:
            problem: the problem.
            folder: DEHB's output folder.
            seed: seed of DEHB.
        """
        super().__init__(self._next_request)
        self._dehb = DEHB(
            cs=_configuration_space(problem.space, seed), min_fidelity=_FIRST_EPOCHS, max_fidelity=problem.max_epochs,
            n_workers=1, seed=seed, output_path=folder, save_freq="end", log_level="ERROR",
        )  # fmt: skip

    def _next_request(self) -> Request:
        job = self._dehb.ask()

        def tell(record: EpochRecord) -> None:
            self._dehb.tell(job, {"fitness": _cost(record), "cost": record.seconds})

        return Request(dict(job["config"]), _epochs(job["fidelity"]), tell)
