"""The sampler of one trial: one of Optuna's, before which the first trials may come from a Sobol sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from search.study.samplers import LEARNED_STATES, STARTUP_TRIALS
from search.study.settings import StudySettings
from search.study.space import Choice, Dimension, IntRange, Range


class TrialSampler(BaseSampler):
    """Samples one trial: by a Sobol sequence while the sampler would still propose at random, then by the sampler.

    It knows the space, which Optuna's samplers would find by comparing all trials at each proposal. A hyperparameter
    that is searched only under a condition is sampled by itself, as in Optuna.
    """

    def __init__(self, sampler: BaseSampler, settings: StudySettings, number: int) -> None:
        """Prepare to sample a trial.

        Args:
            sampler: Optuna's sampler of this trial, see `search.study.samplers`.
            settings: the settings that the proposals depend on.
            number: number of the trial.
        """
        self._sampler, self._settings, self._number = sampler, settings, number
        self._startup: bool | None = None

    def _is_startup(self, study: optuna.Study) -> bool:
        """Return whether the trial belongs to the quasi-random start, the same for all of its hyperparameters."""
        if self._startup is None:
            learned = study.get_trials(deepcopy=False, states=LEARNED_STATES.get(self._settings.sampler, ()))
            self._startup = self._settings.startup == "sobol" and len(learned) < STARTUP_TRIALS
        return self._startup

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what is sampled jointly: nothing in the start, and what has no condition after it."""
        if self._is_startup(study):
            return {}
        if self._settings.sampler not in LEARNED_STATES:
            return self._sampler.infer_relative_search_space(study, trial)
        space = self._settings.unconditional
        return {name: space[name] for name in sorted(space) if not space[name].single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample hyperparameters jointly."""
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample one hyperparameter by itself."""
        if self._is_startup(study):
            return sobol_point(self._settings, self._number)[param_name]
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Let the sampler prepare for the trial."""
        self._sampler.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Let the sampler note the end of the trial."""
        self._sampler.after_trial(study, trial, state, values)


def sobol_point(settings: StudySettings, number: int) -> dict[str, Any]:
    """Return a point of the scrambled Sobol sequence (Sobol' 1967; Owen 1998) over the space of a study.

    Optuna's QMCSampler takes its points in the order in which trials are asked for, which it notes in the study. Here
    the point depends on nothing but the seed and the number, so that a replay or a resumed campaign finds it again.

    Args:
        settings: the settings of the study: its space, and the seed that scrambles the sequence.
        number: number of the trial, the index of the point in the sequence.

    Returns:
        the value of each hyperparameter, by name.
    """
    from scipy.stats import qmc  # slow to import, and few commands propose trials

    space = settings.distributions
    sequence = qmc.Sobol(len(space), scramble=True, rng=np.random.default_rng(settings.seed))
    if number:
        sequence.fast_forward(number)
    shares = sequence.random(1)
    return {
        name: _dimension(distribution).at(shares[:, column])[0].item()
        for column, (name, distribution) in enumerate(space.items())
    }


def _dimension(distribution: BaseDistribution) -> Dimension:
    """Return the range that a distribution of Optuna was made from."""
    match distribution:
        case FloatDistribution(low=low, high=high, log=log):
            return Range(low=low, high=high, log=log)
        case IntDistribution(low=low, high=high, log=log):
            return IntRange(low=low, high=high, log=log)
        case CategoricalDistribution(choices=choices):
            return Choice.model_validate({"values": choices})
    raise TypeError(f"The space has a {type(distribution).__name__}")
