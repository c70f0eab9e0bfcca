from __future__ import annotations

from dataclasses import replace

import pytest

from search.confirmation.candidates import Cell
from search.confirmation.plan import ConfirmationPlan

pytestmark = pytest.mark.costly


def test_the_key_of_a_cell_covers_all_that_its_result_depends_on(plan: ConfirmationPlan) -> None:
    cell = plan.cells[0]
    key = cell.key("identity", 2)
    assert key == Cell(cell.candidate, cell.seed, cell.split).key("identity", 2)
    recipe = cell.candidate.recipe.with_trainer(learning_rate=1e-5)
    others = [
        replace(cell, seed=99).key("identity", 2),
        replace(cell, split="fold 9").key("identity", 2),
        replace(cell, candidate=replace(cell.candidate, recipe=recipe)).key("identity", 2),
        cell.key("another", 2),
        cell.key("identity", 3),
    ]
    assert len({key, *others}) == 6
