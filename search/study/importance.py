"""Orders hyperparameters by how much of the variance of the trials' values they explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from search.study.encoding import encode, study_name
from search.study.space import SpaceConfig

MIN_TRIALS = 4
"""With fewer trials, the order is that in which the hyperparameters are declared."""


def order_by_importance(space: SpaceConfig, trials: Sequence[tuple[Mapping[str, Any], float]]) -> list[str]:
    """Return the names of the hyperparameters that are searched, the most important one first.

    Importance is the share of the variance that a hyperparameter explains alone, by a forest of trees (functional
    ANOVA, Hutter, Hoos and Leyton-Brown 2014). The forest has a fixed seed, so that the order is a function of the
    trials. Where it explains nothing, or trials are too few, hyperparameters keep the order of their declaration.

    Args:
        space: the space of the search; a trial of another space is left out.
        trials: hyperparameters and value of each trial, all values of the same fidelity.
    """
    names = list(space.dimensions())
    distributions = space.distributions()
    known = [(dict(params), value) for params, value in trials if space.is_of(params)]
    if len(known) < MIN_TRIALS or len({value for _, value in known}) < 2:
        return names
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            create_trial(params=encode(params, distributions), distributions=distributions, value=value)
            for params, value in known
        ]
    )
    importances = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return sorted(names, key=lambda name: -importances.get(study_name(name, distributions), 0.0))
