"""ASHA: at each rung, only the best part of the trials goes on. Li et al. 2020, arXiv:1810.05934."""

from __future__ import annotations

from ray.tune.schedulers import ASHAScheduler, TrialScheduler


def make_scheduler(grace: int, reduction: int, max_epochs: int) -> TrialScheduler:
    """Stop the weak at each rung and every trial at max_epochs, by the best score so far."""
    return ASHAScheduler(
        time_attr="epoch",
        metric="value",
        mode="max",
        max_t=max_epochs,
        grace_period=grace,
        reduction_factor=reduction,
        brackets=1,
    )
