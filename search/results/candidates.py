"""Chooses the trials that a confirmation trains again: the best by their own values, and by a model over all trials.

The best of many noisy values owes some of its lead to luck. The posterior mean of `search.study.posterior` also takes
the neighbours of a trial into account, and so names other candidates where a value is a spike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.results.folder import CampaignFolder
from search.results.records import RankedTrial
from search.study.posterior import Estimate, estimate_trials


def read_candidates(folder: CampaignFolder, count: int) -> list[RankedTrial]:
    """Choose candidates from what a campaign has recorded: the same each time for the same records.

    Args:
        folder: the folder of the campaign.
        count: most candidates to choose.

    Raises:
        ConfigError: a file is missing or damaged.
    """
    config = folder.read_config()
    estimates = estimate_trials(
        folder.read_journal(), config.space.dimensions(), config.steps, config.cells is not None
    )
    return choose_candidates(folder.read_ranked_trials(), estimates, count)


def choose_candidates(
    ranked: Sequence[RankedTrial], estimates: Mapping[int, Estimate], count: int
) -> list[RankedTrial]:
    """Choose the best trial by value, the best by posterior mean, the next by value, and so on.

    Args:
        ranked: the full-fidelity trials, the best by value first, see `search.results.ranking.rank_trials`.
        estimates: what trials are worth given all trials, by number; one without an estimate has its own value.
        count: most candidates to choose.
    """

    def mean_of(trial: RankedTrial) -> float:
        estimate = estimates.get(trial.number)
        return trial.value if estimate is None else estimate.mean

    by_mean = sorted(ranked, key=mean_of, reverse=True)
    in_turn = [trial for pair in zip(ranked, by_mean, strict=True) for trial in pair]
    return list({trial.number: trial for trial in in_turn}.values())[:count]
