"""Tests which trials can win, and which one does."""

from __future__ import annotations

import numpy as np

from search.results import ranking, tables
from search.study.trial_record import FAILED, STOPPED
from tests.helpers.trial_records import trial_record


def test_only_full_fidelity_can_win() -> None:
    table = tables.make_trials_table(
        [
            trial_record(0, [0.4]),
            trial_record(1, [0.9], STOPPED),
            trial_record(2, [0.8], FAILED),
            trial_record(3, [0.5]),
        ]
    )
    winner = ranking.find_winner(table)
    assert winner is not None
    assert winner.number == 3


def test_a_value_that_is_not_finite_cannot_win() -> None:
    winner = ranking.find_winner(tables.make_trials_table([trial_record(0, [np.nan]), trial_record(1, [0.1])]))
    assert winner is not None
    assert winner.number == 1


def test_ties_go_to_the_lower_nll_then_to_the_earlier_trial() -> None:
    tied = [trial_record(0, [0.5], nll=1.2), trial_record(1, [0.5], nll=1.1), trial_record(2, [0.5], nll=1.1)]
    winner = ranking.find_winner(tables.make_trials_table(tied))
    assert winner is not None
    assert winner.number == 1
