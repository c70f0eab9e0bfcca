from __future__ import annotations

from search.simulation.problem import regret
from tests.search.simulation.conftest import Valley


def test_regret_is_measured_between_the_best_and_a_random_draw() -> None:
    assert regret(Valley(), 0.0) == 0.0
    assert regret(Valley(), -0.1) == 1.0
    assert regret(Valley(), -0.2) == 2.0
