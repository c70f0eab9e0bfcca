"""Creates Optuna's samplers with every keyword given, so that no default of Optuna decides a proposal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from search.study.settings import SamplerKind

STARTUP_TRIALS = 10
"""Number of finished trials before which the model-based samplers propose at random."""
LEARNED_STATES: Mapping[SamplerKind, tuple[TrialState, ...]] = {
    "tpe": (TrialState.COMPLETE, TrialState.PRUNED),
    "gp": (TrialState.COMPLETE,),
}
"""States of the trials that a sampler learns from, for those that propose all hyperparameters jointly. `random` learns
from none."""


def make_sampler(kind: SamplerKind, seed: int, number: int = 0) -> BaseSampler:
    """Create the sampler of one trial; every keyword is given, so that an upgrade of Optuna cannot silently change it.

    Args:
        kind: `tpe`, the Tree-structured Parzen Estimator (Bergstra et al. 2011; multivariate, Falkner et al. 2018),
            whose `constant_liar` keeps concurrent trials from being alike; `random`; `gp`, Gaussian process.
        seed: seed of the campaign.
        number: number of the trial; each trial has its own stream of random numbers.
    """
    trial_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    match kind:
        case "tpe":
            return TPESampler(
                n_startup_trials=STARTUP_TRIALS,
                n_ei_candidates=24,
                seed=trial_seed,
                multivariate=True,
                group=False,
                constant_liar=True,
            )
        case "random":
            return RandomSampler(seed=trial_seed)
        case "gp":
            return GPSampler(
                seed=trial_seed,
                independent_sampler=RandomSampler(seed=trial_seed),
                n_startup_trials=STARTUP_TRIALS,
                deterministic_objective=False,
                warn_independent_sampling=False,  # conditional hyperparameters are sampled by themselves: no news
            )


def sampler_keywords(kind: SamplerKind) -> dict[str, Any]:
    """Return the keywords, except the seed, that `make_sampler` gives to Optuna, for the records of a campaign.

    Args:
        kind: the sampler, as in `make_sampler`.
    """
    common = {"n_startup_trials": STARTUP_TRIALS}
    match kind:
        case "tpe":
            return {**common, "n_ei_candidates": 24, "multivariate": True, "group": False, "constant_liar": True}
        case "random":
            return {}
        case "gp":
            return {**common, "independent_sampler": "random", "deterministic_objective": False}
