"""Decides which trainings a confirmation consists of: a race, in which candidates that are behind are dropped.

All candidates and the incumbent are trained round by round, a round being one cell: a seed on a fold. What follows a
round is a function of the cells up to it, so neither the order in which they end nor an interruption changes it.

Candidates are dropped after a round, but not before `MIN_CELLS` of them: as failed; as behind the best, where the bound
of `search.statistics.racing` says so; and as those that are furthest behind, where the trainings that are left are too
few for all. The incumbent stays. A further seed is begun only if it can be trained on all folds.

How many the trainings suffice for follows from successive halving: half of the candidates after `MIN_CELLS` rounds, and
half of these after each pass over the folds (Karnin, Koren and Somekh 2013, "Almost Optimal Exploration in Multi-Armed
Bandits").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Literal, NamedTuple

import numpy as np

from core.evaluation.block_bootstrap import Interval
from search.results.predictions import INCUMBENT
from search.statistics.racing import gaps_to_best

MIN_CELLS = 3
"""Number of cells that all candidates are trained on before one is dropped."""
MIN_SEEDS = 2
"""Number of seeds that the last candidates are trained with on all folds, if there are that many: the interval of a
lead takes the noise of training from them."""
DropReason = Literal["failed", "behind the best", "too few trainings left"]


class CellKey(NamedTuple):
    """A training of a race: the number of the trial, or `INCUMBENT`; the seed; the fold, as `fold 1`."""

    number: int
    seed: int
    split: str


@dataclass(frozen=True)
class Drop:
    """A candidate that was dropped.

    Attributes:
        number: number of the trial.
        cells: number of cells that it had been trained on.
        reason: why it was dropped.
        gap: by how much it was behind the best on average, with the bound of `gaps_to_best`; NaN if it failed.
    """

    number: int
    cells: int
    reason: DropReason
    gap: Interval


@dataclass(frozen=True)
class RaceRules:
    """The candidates and the cells of a race.

    Attributes:
        candidates: numbers of the candidates, the best of the search first.
        seeds: seeds in their order.
        splits: names of the folds in the order in which they are trained.
        trainings: most trainings of the race, those of the incumbent included; see `needed_trainings`.
    """

    candidates: tuple[int, ...]
    seeds: tuple[int, ...]
    splits: tuple[str, ...]
    trainings: int

    @property
    def rounds(self) -> list[tuple[int, str]]:
        """Seed and fold of each round: all folds with the first seed, then with the next."""
        return [(seed, split) for seed in self.seeds for split in self.splits]

    @property
    def required(self) -> int:
        """Number of rounds that the last candidates are trained in, at least."""
        return min(MIN_SEEDS, len(self.seeds)) * len(self.splits)

    @property
    def first_decision(self) -> int:
        """Number of rounds after which candidates may be dropped for the first time."""
        return min(MIN_CELLS, self.required)

    def affordable(self, rounds: int, spent: int, count: int) -> int:
        """Return how many candidates can go on after a round, at least one.

        Args:
            rounds: number of rounds that are over.
            spent: number of trainings that they took.
            count: number of candidates in the race.
        """
        left = self.trainings - spent
        return next((n for n in range(count, 1, -1) if self._cost(rounds, n) <= left), 1)

    def needed_trainings(self) -> int:
        """Return how many trainings suffice for all candidates to take part."""
        return self._cost(0, len(self.candidates))

    def _cost(self, rounds: int, count: int) -> int:
        """Return the trainings of the required rounds behind some, if the candidates are halved at each stage."""
        folds, cost = len(self.splits), 0
        for end in sorted({self.first_decision, *range(folds, self.required + 1, folds)}):
            if end > rounds and end >= self.first_decision:
                cost += (end - rounds) * (count + 1)
                rounds, count = end, (count + 1) // 2
        return cost


@dataclass(frozen=True)
class Race:
    """The course of a race, as far as the finished cells tell it.

    Attributes:
        cells: all trainings of the race so far, those that are still missing included, in their order.
        missing: the trainings that the next decision waits for; none once the race is over.
        dropped: the candidates that were dropped, in their order.
        finishers: numbers of the candidates that are still in the race, the best of the search first.
        seeds: seeds with which these were trained on all folds.
    """

    cells: tuple[CellKey, ...]
    missing: tuple[CellKey, ...]
    dropped: tuple[Drop, ...]
    finishers: tuple[int, ...]
    seeds: tuple[int, ...]


def run_race(rules: RaceRules, scores: Mapping[CellKey, float | None]) -> Race:
    """Return the course of a race, up to the first round that is not finished and that a decision waits for.

    Args:
        rules: the candidates and the cells.
        scores: the ranking score of each finished cell, higher being better; NaN where it is not defined, and None if
            the training failed. A race in which the incumbent failed is over.
    """
    in_race, cells, dropped = list(rules.candidates), list[CellKey](), list[Drop]()
    finished = 0
    for index, (seed, split) in enumerate(rules.rounds):
        starts_seed, count = index % len(rules.splits) == 0, len(in_race) + 1
        is_affordable = len(cells) + count * len(rules.splits) <= rules.trainings
        if starts_seed and index >= rules.required and not is_affordable:
            break
        cells += [CellKey(number, seed, split) for number in (*in_race, INCUMBENT)]
        finished = index + 1
        if finished < rules.first_decision:
            continue
        missing = tuple(cell for cell in cells if cell not in scores)
        if missing:
            return Race(tuple(cells), missing, tuple(dropped), tuple(in_race), ())
        drops = _drops(rules, scores, in_race, finished, len(cells))
        dropped += drops
        in_race = [number for number in in_race if number not in {drop.number for drop in drops}]
        if not in_race or any(scores[cell] is None for cell in cells if cell.number == INCUMBENT):
            break
    seeds = rules.seeds[: finished // len(rules.splits)]
    return Race(tuple(cells), (), tuple(dropped), tuple(in_race), seeds)


def _drops(
    rules: RaceRules, scores: Mapping[CellKey, float | None], in_race: Sequence[int], rounds: int, spent: int
) -> list[Drop]:
    """Return the candidates to drop after a round, see the module."""
    past = rules.rounds[:rounds]
    by_number = {number: [scores[CellKey(number, *cell)] for cell in past] for number in in_race}
    undefined = Interval(nan, nan, nan)
    failed = [number for number, values in by_number.items() if None in values]
    drops = [Drop(number, rounds, "failed", undefined) for number in failed]
    kept = [number for number in in_race if number not in failed]
    if len(kept) < 2:
        return drops
    table = np.array([by_number[number] for number in kept], dtype=np.float64)
    look = rounds - rules.first_decision + 1
    gaps = dict(zip(kept, gaps_to_best(table, look, len(rules.candidates)), strict=True))
    drops += [Drop(number, rounds, "behind the best", gaps[number]) for number in kept if gaps[number].low > 0]
    # Candidates with equal means keep the order of the search, and so do all if no cell defines the score.
    rest = [number for number in kept if not gaps[number].low > 0]
    standing = sorted(rest, key=lambda number: np.nan_to_num(gaps[number].value))
    for number in standing[rules.affordable(rounds, spent, len(standing)) :]:
        drops.append(Drop(number, rounds, "too few trainings left", gaps[number]))
    return drops


def expected_cells(rules: RaceRules, scores: Mapping[CellKey, float | None]) -> tuple[CellKey, ...]:
    """Return the trainings that a race will consist of if no further candidate is far behind, for an estimate.

    Args:
        rules: the candidates and the cells.
        scores: the finished cells, see `run_race`.
    """
    assumed = dict(scores)
    while (race := run_race(rules, assumed)).missing:
        assumed |= dict.fromkeys(race.missing, nan)
    return race.cells
