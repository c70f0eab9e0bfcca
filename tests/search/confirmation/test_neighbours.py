"""The neighbours of the winner, without a training."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from core.config import Hyperparameters, LossConfig
from search.confirmation import neighbours
from search.confirmation.neighbours import Neighbour, compare_with_neighbours, find_neighbours, neighbour_cells
from search.confirmation.plan import ConfirmationPlan
from search.confirmation.race import CellKey, Race, run_race
from search.results.predictions import INCUMBENT

pytestmark = pytest.mark.costly


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The order of importance, which a test may change."""
    order = ["dropout", "focal_gamma", "batch_size", "learning_rate", "weight_decay", "mixup_alpha"]
    monkeypatch.setattr(neighbours, "order_by_importance", lambda *_: order)
    return order


def _with_winner(plan: ConfirmationPlan, **changes: Any) -> ConfirmationPlan:
    """Return a plan whose first candidate has other hyperparameters."""
    first = plan.candidates[0]
    hyperparameters = {**first.hyperparameters, **changes}
    recipe = Hyperparameters.pick(hyperparameters).apply(plan.campaign.base)
    winner = replace(first, hyperparameters=hyperparameters, recipe=recipe)
    return replace(plan, candidates=(winner, *plan.candidates[1:]))


def _race(plan: ConfirmationPlan) -> Race:
    scores: dict[CellKey, float | None] = {}
    while (race := run_race(plan.rules, scores)).missing:
        scores |= dict.fromkeys(race.missing, 0.5)
    return race


def test_neighbours_are_one_step_each_way_in_the_three_most_important_hyperparameters(
    plan: ConfirmationPlan, ordered: list[str]
) -> None:
    ordered.remove("focal_gamma")
    plan = _with_winner(plan, dropout=0.3, batch_size=128, learning_rate=2e-4)
    winner = plan.candidates[0]
    found = find_neighbours(plan, winner.number)
    assert [(one.name, one.value) for one in found] == [
        ("dropout", pytest.approx(0.225)),
        ("dropout", pytest.approx(0.375)),
        ("batch_size", 64),
        ("batch_size", 256),
        ("learning_rate", pytest.approx(2e-4 / 200**0.125)),
        ("learning_rate", pytest.approx(2e-4 * 200**0.125)),
    ]
    assert [one.candidate.number for one in found] == list(range(INCUMBENT - 1, INCUMBENT - 7, -1))
    for one in found:
        changes = one.candidate.hyperparameters.items() - winner.hyperparameters.items()
        assert {name for name, _ in changes} == {one.name}
    recipes = [one.candidate.recipe for one in found]
    assert [recipe.model.dropout for recipe in recipes[:2]] == pytest.approx([0.225, 0.375])
    assert [recipe.trainer.batch_size for recipe in recipes[2:4]] == [64, 256]
    assert recipes[0].trainer.epochs == plan.campaign.base.trainer.epochs


def test_what_has_no_effect_or_no_neighbour_gives_its_place_to_the_next(
    plan: ConfirmationPlan, ordered: list[str]
) -> None:
    loss = LossConfig(kind="label_smoothing")
    assert "focal_gamma" in loss.unused
    base = plan.campaign.base.model_copy(update={"loss": loss})
    plan = _with_winner(replace(plan, campaign=replace(plan.campaign, base=base)), dropout=0.0, batch_size=128)
    found = find_neighbours(plan, plan.candidates[0].number)
    assert [one.name for one in found] == ["dropout", "batch_size", "batch_size", "learning_rate", "learning_rate"]


def test_the_importance_is_that_of_the_trials_at_the_first_rung(
    plan: ConfirmationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        neighbours, "order_by_importance", lambda space, trials: seen.append(trials) or list(space.dimensions())
    )
    find_neighbours(plan, plan.candidates[0].number)
    records = plan.campaign.folder.read_journal()
    rung = plan.campaign.config.grace
    assert seen == [[(record.params, record.epochs[rung].value) for record in records]]  # the stopped trial among them
    assert len(records) == 3


def test_neighbours_get_the_trainings_that_are_left(plan: ConfirmationPlan, ordered: list[str]) -> None:
    race = _race(plan)
    found = find_neighbours(plan, plan.candidates[0].number)
    whole = neighbour_cells(plan, race, found)
    assert [(cell.seed, cell.split) for cell in whole[:: len(found)]] == [(1, "fold 2"), (1, "fold 1")]  # one pass
    assert len(race.cells) + len(whole) + 1 <= plan.most
    for trainings, cells in ((12 + 1 + 6, 1), (12 + 1 + 2 * 6, 2)):
        tight = replace(plan, settings=plan.settings.model_copy(update={"trainings": trainings}))
        assert len(neighbour_cells(tight, race, found)) == cells * len(found)
        assert tight.most == trainings
    assert neighbour_cells(plan, race, []) == []


def test_there_are_none_beside_a_single_trial_or_where_they_are_switched_off(plan: ConfirmationPlan) -> None:
    assert plan.reserved == 6
    assert replace(plan, candidates=plan.candidates[1:]).reserved == 0
    without = replace(plan, settings=plan.settings.model_copy(update={"neighbours": False}))
    assert (without.reserved, without.most) == (0, 13)


@pytest.mark.parametrize(("drop", "word"), [(0.0, "plateau"), (0.5, "spike"), (-0.5, "plateau"), (None, None)])
def test_neighbours_that_are_worse_for_sure_make_a_spike(
    plan: ConfirmationPlan, ordered: list[str], drop: float | None, word: str | None
) -> None:
    race, winner = _race(plan), plan.candidates[0].number
    found = find_neighbours(plan, winner)
    scores: dict[CellKey, float | None] = {
        cell: 0.6 + 0.01 * math.sin(17 * index) for index, cell in enumerate(race.cells)
    }
    for cell in neighbour_cells(plan, race, found):
        of_winner = scores[CellKey(winner, cell.seed, cell.split)]
        assert of_winner is not None
        key = CellKey(cell.candidate.number, cell.seed, cell.split)
        scores[key] = None if drop is None else of_winner - drop
    compared = compare_with_neighbours(plan, race, winner, found, scores)
    assert compared is not None
    assert (compared.word, compared.cells) == (word, 2)
    assert [(one.hyperparameter, one.value) for one in compared.neighbours] == [(one.name, one.value) for one in found]
    if drop is None:
        assert (compared.drop, compared.low, compared.neighbours[0].drop) == (None, None, None)
        return
    assert compared.drop == pytest.approx(drop)
    assert compared.low is not None
    assert compared.low < drop
    # A neighbour whose training failed is left out of the mean.
    scores[CellKey(found[0].candidate.number, 1, "fold 1")] = None
    rest = compare_with_neighbours(plan, race, winner, found, scores)
    assert rest is not None
    assert (rest.neighbours[0].drop, rest.drop) == (None, pytest.approx(drop))


def test_without_a_training_of_a_neighbour_nothing_is_said(plan: ConfirmationPlan) -> None:
    assert compare_with_neighbours(plan, _race(plan), plan.candidates[0].number, list[Neighbour](), {}) is None
