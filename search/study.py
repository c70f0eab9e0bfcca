"""How Optuna proposes: the sampler with every keyword said, so that an upgrade cannot change it unseen."""

from __future__ import annotations

from optuna import logging
from optuna.samplers import BaseSampler, TPESampler

STARTUP_TRIALS = 10


def make_sampler(seed: int) -> BaseSampler:
    """The Tree-structured Parzen Estimator, Bergstra et al. 2011; multivariate, Falkner et al. 2018.

    `constant_liar` keeps trials that run side by side from being alike.
    """
    logging.set_verbosity(logging.WARNING)  # the campaign reports itself
    return TPESampler(
        n_startup_trials=STARTUP_TRIALS,
        n_ei_candidates=24,
        seed=seed,
        multivariate=True,
        group=False,
        constant_liar=True,
    )
