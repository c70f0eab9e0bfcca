"""Optuna's samplers, with every keyword said."""

from __future__ import annotations

from typing import Any

import numpy as np
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from search.study.settings import SamplerKind

STARTUP_TRIALS = 10


def make_sampler(kind: SamplerKind, seed: int, number: int = 0) -> BaseSampler:
    """The sampler of one trial, with every keyword said, so that an upgrade cannot change it unseen.

    Args:
        kind: `tpe`, the Tree-structured Parzen Estimator (Bergstra et al. 2011; multivariate, Falkner et al. 2018),
            whose `constant_liar` keeps trials that run side by side from being alike; `random`; `gp`, Gaussian process.
        seed: the campaign's.
        number: the trial's.
    """
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    match kind:
        case "tpe":
            return TPESampler(
                n_startup_trials=STARTUP_TRIALS,
                n_ei_candidates=24,
                seed=own,
                multivariate=True,
                group=False,
                constant_liar=True,
            )
        case "random":
            return RandomSampler(seed=own)
        case "gp":
            return GPSampler(
                seed=own,
                independent_sampler=RandomSampler(seed=own),
                n_startup_trials=STARTUP_TRIALS,
                deterministic_objective=False,
            )


def sampler_keywords(kind: SamplerKind) -> dict[str, Any]:
    """What `make_sampler` says to Optuna, for the record; the seed apart."""
    common = {"n_startup_trials": STARTUP_TRIALS}
    match kind:
        case "tpe":
            return {**common, "n_ei_candidates": 24, "multivariate": True, "group": False, "constant_liar": True}
        case "random":
            return {}
        case "gp":
            return {**common, "independent_sampler": "random", "deterministic_objective": False}
