"""The course of a race is a function of its finished cells, and never longer than allowed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from search.confirmation.race import MIN_CELLS, CellKey, Race, RaceRules, expected_cells, run_race
from search.results.predictions import INCUMBENT

Scores = dict[CellKey, float | None]


def _rules(top: int = 8, seeds: int = 3, folds: int = 5, trainings: int = 54) -> RaceRules:
    splits = tuple(f"fold {fold}" for fold in range(folds, 0, -1))
    rules = RaceRules(tuple(range(10, 10 + top)), tuple(range(1, 1 + seeds)), splits, trainings)
    return RaceRules(rules.candidates, rules.seeds, splits, max(trainings, rules.needed_trainings()))


def _run(rules: RaceRules, score: Callable[[CellKey], float | None]) -> Race:
    """Run a race to its end."""
    scores: Scores = {}
    while (race := run_race(rules, scores)).missing:
        scores |= {cell: score(cell) for cell in race.missing}
    return race


def _noisy(seed: int, spread: float, failing: float = 0.0) -> Callable[[CellKey], float | None]:
    """Return a score for each cell: the quality of the candidate and noise; some trainings fail."""

    def score(cell: CellKey) -> float | None:
        rng = np.random.default_rng([seed, cell.number + 1, cell.seed, int(cell.split.split()[1])])
        quality = np.random.default_rng([seed, cell.number + 1]).normal() * spread
        value = float(quality + rng.normal())
        return None if rng.random() < failing and cell.number != INCUMBENT else value

    return score


races = settings(max_examples=30, deadline=None)


@races
@given(
    top=st.integers(1, 12),
    seeds=st.integers(1, 4),
    folds=st.integers(1, 7),
    spread=st.sampled_from([0.0, 1.0, 20.0]),
    failing=st.sampled_from([0.0, 0.05]),
    seed=st.integers(0, 99),
)
def test_a_race_keeps_within_its_trainings_and_its_finishers_have_whole_passes(
    top: int, seeds: int, folds: int, spread: float, failing: float, seed: int
) -> None:
    rules = _rules(top, seeds, folds)
    race = _run(rules, _noisy(seed, spread, failing))
    assert len(race.cells) == len(set(race.cells)) <= rules.trainings
    dropped = [drop.number for drop in race.dropped]
    assert sorted([*dropped, *race.finishers]) == list(rules.candidates)
    if race.finishers:
        assert len(race.seeds) >= min(2, seeds)
        for number in (*race.finishers, INCUMBENT):
            passes = [CellKey(number, one, split) for one in race.seeds for split in rules.splits]
            assert [cell for cell in race.cells if cell.number == number] == passes
    for drop in race.dropped:
        assert drop.cells == sum(cell.number == drop.number for cell in race.cells)
        assert drop.cells >= rules.first_decision


@races
@given(seed=st.integers(0, 99), spread=st.sampled_from([0.0, 3.0]))
def test_neither_the_order_of_arrival_nor_an_interruption_changes_a_race(seed: int, spread: float) -> None:
    rules, score, rng = _rules(), _noisy(seed, spread, 0.02), np.random.default_rng(seed)
    expected = _run(rules, score)
    scores: Scores = {}
    while (race := run_race(rules, scores)).missing:  # one cell at a time, in any order
        cell = race.missing[int(rng.integers(len(race.missing)))]
        scores[cell] = score(cell)
    assert race == expected
    # Cells that another plan has left finished are no part of this race.
    others = {CellKey(number, 9, "fold 1"): 5.0 for number in rules.candidates}
    assert run_race(rules, scores | others) == expected


def test_without_evidence_half_go_on_and_the_trainings_are_those_of_the_default() -> None:
    race = _run(_rules(), _noisy(0, 0.0))
    assert [(drop.cells, drop.reason) for drop in race.dropped] == [(3, "too few trainings left")] * 4 + [
        (5, "too few trainings left")
    ] * 2
    assert len(race.cells) == 3 * 9 + 2 * 5 + 5 * 3 == 52
    assert race.seeds == (1, 2)


def test_who_is_behind_for_sure_is_dropped_and_its_trainings_become_another_seed() -> None:
    noise = _noisy(0, 0.0)

    def score(cell: CellKey) -> float:
        value = noise(cell)
        assert value is not None
        return value / 100 - (cell.number not in (10, INCUMBENT)) - 5 * (cell.number == INCUMBENT)

    race = _run(_rules(trainings=60), score)
    assert {(drop.cells, drop.reason) for drop in race.dropped} == {(MIN_CELLS, "behind the best")}
    assert all(drop.gap.low > 0 for drop in race.dropped)
    assert (race.finishers, race.seeds) == ((10,), (1, 2, 3))  # the incumbent stays, though it is the worst
    assert len(race.cells) == 3 * 9 + 12 * 2
    assert len([cell for cell in race.cells if cell.number == INCUMBENT]) == 15
    more = _run(_rules(seeds=4, trainings=60), score)
    assert (more.seeds, len(more.cells)) == ((1, 2, 3), 3 * 9 + 12 * 2)  # a fourth seed would take it to 61


def test_a_named_number_of_seeds_is_the_maximum() -> None:
    for seeds in (1, 2, 4):
        race = _run(_rules(top=2, seeds=seeds, trainings=60), _noisy(1, 0.0))
        assert race.seeds == tuple(range(1, seeds + 1))
        assert len(race.cells) == 3 * 5 * seeds


def test_a_failed_candidate_is_dropped_and_a_failed_incumbent_ends_the_race() -> None:
    def score(failed: int) -> Callable[[CellKey], float | None]:
        return lambda cell: None if cell.number == failed and cell.split == "fold 4" else 0.5

    race = _run(_rules(top=2), score(10))
    assert [(drop.number, drop.cells, drop.reason) for drop in race.dropped] == [(10, 3, "failed")]
    assert race.finishers == (11,)
    assert len(_run(_rules(top=2), score(INCUMBENT)).cells) == 3 * MIN_CELLS
    assert _run(_rules(top=1), score(10)).finishers == ()


def test_equal_candidates_keep_the_order_of_the_search() -> None:
    for value in (0.5, math.nan):
        assert _run(_rules(), lambda _, value=value: value).finishers == (10, 11)  # type: ignore[misc]


def test_the_expected_cells_are_those_of_a_race_without_evidence() -> None:
    rules = _rules()
    assert len(expected_cells(rules, {})) == 52
    race = _run(rules, score := _noisy(3, 5.0))
    assert expected_cells(rules, {cell: score(cell) for cell in race.cells}) == race.cells
