"""Searches of Optuna, by its study's `ask` and `tell`: a sampler, and a pruner that may end a trial after any epoch."""

from __future__ import annotations

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from benchmarks.peers.campaign import Trial, plain_space
from search.simulation.problem import Problem
from search.study.trial_record import EpochRecord


class OptunaSearch:
    """A study in memory."""

    def __init__(self, problem: Problem, sampler: BaseSampler, pruner: BasePruner) -> None:
        """Prepare a campaign.

        Args:
            problem: the problem.
            sampler: the sampler.
            pruner: the pruner. It learns each epoch's value; the `WilcoxonPruner` learns each cell's own score.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # The HyperbandPruner draws a trial's bracket from the name of the study, which otherwise is drawn at random.
        self._study = optuna.create_study(study_name="peers", direction="maximize", sampler=sampler, pruner=pruner)
        self._space = {name: dimension.distribution() for name, dimension in plain_space(problem.space).items()}
        self._max_epochs = problem.max_epochs
        self._is_paired = isinstance(pruner, optuna.pruners.WilcoxonPruner)
        self._running: dict[int, optuna.Trial] = {}

    def ask(self) -> Trial:
        """Return a new trial, see `Search`."""
        trial = self._study.ask(self._space)
        self._running[trial.number] = trial
        return Trial(trial.number, trial.params)

    def tell(self, trial: Trial, record: EpochRecord) -> bool:
        """Return whether the pruner lets the trial go on, see `Search`.

        Of a trial that the `WilcoxonPruner` ends, the study learns the mean so far, as Optuna's documentation advises.
        """
        of_optuna = self._running[trial.number]
        of_optuna.report(record.score if self._is_paired else record.value, record.epoch)
        is_last = record.epoch >= self._max_epochs
        if not is_last and not of_optuna.should_prune():
            return True
        if is_last or self._is_paired:
            self._study.tell(of_optuna, record.value)
        else:
            self._study.tell(of_optuna, state=TrialState.PRUNED)
        del self._running[trial.number]
        return False
