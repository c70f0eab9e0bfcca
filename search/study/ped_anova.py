"""How much each hyperparameter matters for being among the best trials, by PED-ANOVA.

Watanabe et al. 2023, "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in Arbitrary Subspaces"
(arXiv:2304.10255), in Optuna's implementation. It compares where the best tenth of the trials lies with where all lie.
With few trials these differ by chance, too, so the same is computed with the scores permuted among the trials.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from search.study.encoding import encode, study_name
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
        rng: generator of the random permutations.

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
    names = {name: study_name(name, space.distributions()) for name in space.dimensions()}
    return {
        name: Importance(measured[known], float(np.quantile([shares[known] for shares in by_chance], 0.95)))
        for name, known in names.items()
        if known in measured
    }


def _make_study(params: Sequence[dict[str, Any]], space: SpaceConfig) -> optuna.Study:
    """Return a study with these trials; their values are given to `_shares`, so that the study is made only once."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = space.distributions()
    study = optuna.create_study()
    for given in params:
        encoded = encode(given, distributions)
        searched = {name: distributions[name] for name in encoded}
        study.add_trial(create_trial(params=encoded, distributions=searched, value=0.0))
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
