"""Simulates campaigns: what a strategy finds, how long it takes and what it costs, before anyone pays for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from search.engine.simulated import SimulatedEngine, SimulatedWorkers
from search.simulation.problem import Problem, regret
from search.study.asha import rung_epochs
from search.study.controller import Budget, Controller, Rules
from search.study.posterior import estimate_trials
from search.study.settings import AshaVariant, FidelityPolicy, SamplerKind, Startup, StudySettings
from search.study.space import study_distributions
from search.study.study import CampaignStudy
from search.study.trial_record import COMPLETE, TrialRecord

Fidelity = Literal["epochs", "cells"]
PickRule = Literal["value", "posterior"]


@dataclass(frozen=True)
class Strategy:
    """The settings of a search that decide what it proposes and which trials go on; as in a campaign.

    Attributes:
        sampler: kind of the sampler.
        policy: fidelity policy, see `StudySettings`.
        asha: ASHA's variant.
        grace: the first rung, in epochs.
        reduction: ASHA's reduction factor.
        fidelity: what a step of a trial is: an epoch on val, or a cell, see `search.engine.cell_training`.
        startup: how the first trials are proposed, see `StudySettings`.
        pick: what the winner is chosen by: its own value, or its posterior mean given all trials.
    """

    sampler: SamplerKind = "tpe"
    policy: FidelityPolicy = "complete"
    asha: AshaVariant = "stopping"
    grace: int = 2
    reduction: int = 3
    fidelity: Fidelity = "epochs"
    startup: Startup = "random"
    pick: PickRule = "value"

    @property
    def name(self) -> str:
        """Name of the strategy, in tables."""
        startup = "" if self.startup == "random" else f", {self.startup} start"
        by = "" if self.pick == "value" else f", picked by {self.pick}"
        return f"{self.fidelity}, {self.asha}, {self.sampler}, {self.policy}{startup}{by}"


@dataclass(frozen=True)
class SimulatedCampaign:
    """The result of one simulated campaign.

    Attributes:
        hours: how long it took.
        worker_hours: hours that its workers trained, over all of them.
        trials, epochs: number of trials and of their epochs.
        losses: number of workers that were lost while they trained.
        picked: hyperparameters of the winner, by name; None if no trial reached full fidelity.
        quality: what the winner is truly worth; NaN without one.
        regret: by how much that falls short of the best, see `search.simulation.problem.regret`; 1 without a winner.
    """

    hours: float
    worker_hours: float
    trials: int
    epochs: int
    losses: int
    picked: Mapping[str, Any] | None
    quality: float
    regret: float


@dataclass(frozen=True)
class SimulatedSearch:
    """The trials of a simulated search, before a winner is picked.

    Attributes:
        trials: all trials.
        seconds: how long it took.
        busy_seconds: how long its workers trained, over all of them.
        losses: number of workers that were lost while they trained.
    """

    trials: tuple[TrialRecord, ...]
    seconds: float
    busy_seconds: float
    losses: int


def simulate(
    problem: Problem, strategy: Strategy, workers: SimulatedWorkers, budget: Budget, seed: int
) -> SimulatedCampaign:
    """Simulate one campaign: its search, and the pick of its winner.

    Args:
        problem: what trainings report and what they are worth.
        strategy: the settings of the search.
        workers: the workers.
        budget: when no more trials are started.
        seed: seed of the sampler and of the losses of workers.
    """
    return conclude(problem, strategy, run_search(problem, strategy, workers, budget, seed))


def run_search(
    problem: Problem, strategy: Strategy, workers: SimulatedWorkers, budget: Budget, seed: int
) -> SimulatedSearch:
    """Simulate the search of a campaign, with the study and the controller of a real one.

    Args:
        problem: what trainings report and what they are worth.
        strategy: the settings of the search.
        workers: the workers.
        budget: when no more trials are started.
        seed: seed of the sampler and of the losses of workers.
    """
    engine = SimulatedEngine(problem, workers, seed)
    controller = make_controller(problem, strategy, workers.count, budget, seed, engine.clock)
    study = controller.study
    engine.run_trials(None, None, controller, Path(), lambda: None, workers.count)
    if controller.failure is not None:
        raise controller.failure
    return SimulatedSearch(tuple(study.trials.values()), engine.now, engine.busy_seconds, engine.losses)


def conclude(problem: Problem, strategy: Strategy, search: SimulatedSearch) -> SimulatedCampaign:
    """Return what a simulated search found, took and cost.

    Args:
        problem: what trainings report and what they are worth.
        strategy: the settings of the search, which say how its winner is picked.
        search: the search.
    """
    by_model = strategy.pick == "posterior"
    estimates = (
        estimate_trials(search.trials, problem.space, problem.max_epochs, strategy.fidelity == "cells")
        if by_model
        else {}
    )
    winner = pick(search.trials, {number: estimate.mean for number, estimate in estimates.items()})
    quality = problem.quality(winner.params) if winner is not None else float("nan")
    return SimulatedCampaign(
        hours=search.seconds / 3600,
        worker_hours=search.busy_seconds / 3600,
        trials=len(search.trials),
        epochs=sum(len(trial.epochs) for trial in search.trials),
        losses=search.losses,
        picked=None if winner is None else winner.params,
        quality=quality,
        regret=1.0 if winner is None else regret(problem, quality),
    )


def make_controller(
    problem: Problem, strategy: Strategy, concurrency: int, budget: Budget, seed: int, clock: Callable[[], float]
) -> Controller:
    """Make the controller of a simulated campaign, as that of a real one, with a journal in memory.

    Args:
        problem: what trainings report and what they are worth.
        strategy: the settings of the search.
        concurrency: how many trials run at a time.
        budget: when no more trials are started.
        seed: seed of the sampler.
        clock: returns the virtual time in seconds.
    """
    rungs = rung_epochs(strategy.grace, strategy.reduction, problem.max_epochs)
    pauses = rungs if strategy.asha == "promotion" else ()
    distributions = study_distributions(problem.space)
    settings = StudySettings(
        "simulated", distributions, strategy.sampler, strategy.policy, seed, pauses, strategy.startup
    )
    rules = Rules(problem.max_epochs, strategy.grace, strategy.reduction, concurrency, variant=strategy.asha)
    return Controller(CampaignStudy(None, settings, clock=clock), rules, budget)


def pick(trials: Sequence[TrialRecord], means: Mapping[int, float] | None = None) -> TrialRecord | None:
    """Return the winner of a search: the complete trial with the best value, of equal ones the earliest.

    Args:
        trials: all trials.
        means: posterior means by number of the trial, which take the place of the values if given.
    """
    complete = [trial for trial in trials if trial.outcome == COMPLETE]
    return max(complete, key=lambda trial: ((means or {}).get(trial.number, trial.value), -trial.number), default=None)
