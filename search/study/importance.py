"""Orders hyperparameters by how much of the variance of the trials' values they explain."""
"""How much each hyperparameter matters for being among the best trials, by PED-ANOVA.

Watanabe et al. 2023, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces"
(arXiv:2304.10255), in Optuna's implementation. It compares where the best tenth of the trials lies with where all lie.
With few trials that differs by chance, too: the same is computed with the scores dealt out among the trials at random.
"""

from __future__ import annotations

import warnings
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
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from search.study.space import SpaceConfig

MIN_TRIALS = 20
"""Fewest trials whose best tenth is more than one trial."""
_BEST_SHARE = 0.1
_SHUFFLES = 20


@dataclass(frozen=True)
class Importance:
    """The importance of one hyperparameter.

    Attributes:
        value: its share of the importance of all hyperparameters, from 0 to 1.
        by_chance: the share that it exceeds in one of twenty cases where no hyperparameter matters.
    """

    value: float
    by_chance: float


def measure_importance(
    params: Sequence[Mapping[str, Any]], scores: Sequence[float], space: SpaceConfig, rng: np.random.Generator
) -> dict[str, Importance]:
    """Measure how much each hyperparameter matters for being among the best tenth of the trials.

    Args:
        params: hyperparameters of each trial, by name.
        scores: score of each trial, higher is better; all must have been measured after the same number of epochs.
        space: the ranges that were searched; trials outside of them, and trials without a finite score, are left out.
        rng: source of the random dealing.

    Returns:
        by hyperparameter, its importance; empty with fewer than `MIN_TRIALS` trials, or where all scores are equal.
    """
    usable = [(dict(given), score) for given, score in zip(params, scores, strict=True) if np.isfinite(score)]
    usable = [(given, score) for given, score in usable if space.is_of(given)]
    values = np.array([score for _, score in usable])
    if len(usable) < MIN_TRIALS or np.ptp(values) == 0:
        return {}
    study = _make_study([given for given, _ in usable], space)
    measured = _shares(study, values)
    by_chance = [_shares(study, rng.permutation(values)) for _ in range(_SHUFFLES)]
    return {
        name: Importance(measured[name], float(np.quantile([shares[name] for shares in by_chance], 0.95)))
        for name in space.dimensions()
    }


def _make_study(params: Sequence[dict[str, Any]], space: SpaceConfig) -> optuna.Study:
    """Return a study with these trials; their values are given to `_shares`, so that the study is made only once."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = space.distributions()
    study = optuna.create_study()
    study.add_trials([create_trial(params=given, distributions=distributions, value=0.0) for given in params])
    return study


def _shares(study: optuna.Study, scores: np.ndarray) -> dict[str, float]:
    """Return the share of each hyperparameter in the importance of all; scores by trial, higher is better, `[N]`."""
    evaluator = PedAnovaImportanceEvaluator(target_quantile=_BEST_SHARE, region_quantile=1.0, evaluate_on_local=True)
    with warnings.catch_warnings():
        # To a target of its own, PED-ANOVA takes lower values for better ones, and says so each time.
        warnings.simplefilter("ignore")
        return get_param_importances(
            study, evaluator=evaluator, target=lambda trial: -float(scores[trial.number]), normalize=True
        )
