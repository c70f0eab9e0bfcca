"""Ray's searcher over the study: who proposes the next trial."""

from __future__ import annotations

from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from search.space import SpaceConfig
from search.study import make_sampler


def make_searcher(space: SpaceConfig, seed: int) -> Searcher:
    """Optuna's TPE over the space, maximising `value`; the study lives in this process's memory."""
    return OptunaSearch(space=space.distributions(), metric="value", mode="max", sampler=make_sampler(seed))
