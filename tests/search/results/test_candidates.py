from __future__ import annotations

from pathlib import Path

import pytest

from search.results import tables
from search.results.candidates import choose_candidates, read_candidates
from search.results.folder import CampaignFolder
from search.results.ranking import rank_trials
from search.study.posterior import Estimate
from tests.helpers.campaigns import make_searched_campaign
from tests.helpers.trial_records import trial_record


def _chosen(means: dict[int, float], count: int) -> list[int]:
    values = [0.9, 0.8, 0.7, 0.6]
    ranked = rank_trials(tables.make_trials_table([trial_record(n, [value]) for n, value in enumerate(values)]))
    estimates = {number: Estimate(mean, 0.1) for number, mean in means.items()}
    return [trial.number for trial in choose_candidates(ranked, estimates, count)]


def test_candidates_are_taken_by_value_and_by_posterior_mean_in_turn() -> None:
    means = {0: 0.5, 1: 0.6, 2: 0.65, 3: 0.7}
    assert _chosen(means, 1) == [0]
    assert _chosen(means, 2) == [0, 3]
    assert _chosen(means, 3) == [0, 3, 1]
    assert _chosen(means, 9) == [0, 3, 1, 2]


def test_where_both_orders_agree_candidates_are_the_best_by_value() -> None:
    assert _chosen({0: 0.8, 1: 0.7, 2: 0.6, 3: 0.5}, 3) == [0, 1, 2]
    assert _chosen({}, 3) == [0, 1, 2]


@pytest.mark.costly
def test_candidates_are_read_from_a_campaign_and_are_full_fidelity_trials(tmp_path: Path) -> None:
    folder = CampaignFolder(make_searched_campaign(tmp_path))
    ranked = folder.read_ranked_trials()
    assert len(ranked) == 2
    assert read_candidates(folder, 3) == ranked  # three trials are too few for a model
    assert read_candidates(folder, 1) == ranked[:1]
