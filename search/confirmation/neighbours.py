"""The neighbours of the winner: whether candidates beside it are about as good (a plateau) or worse (a spike)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from pydantic import ValidationError

from core.config import Hyperparameters
from core.errors import PresetSearchError
from core.evaluation.block_bootstrap import Interval
from search.confirmation.candidates import Candidate, Cell
from search.confirmation.plan import MAX_NEIGHBOURS, ConfirmationPlan
from search.confirmation.race import CellKey, Race
from search.results.predictions import INCUMBENT
from search.results.race_records import NeighbourFigures, Neighbourhood
from search.statistics.racing import Noise, drop_to_neighbours, pooled_noise
from search.study.importance import order_by_importance


@dataclass(frozen=True)
class Neighbour:
    """A candidate that differs from the winner by a step in one hyperparameter.

    Attributes:
        candidate: the candidate, with a number below `INCUMBENT`.
        name: name of the hyperparameter.
        value: its value.
    """

    candidate: Candidate
    name: str
    value: float


def find_neighbours(plan: ConfirmationPlan, winner: int) -> list[Neighbour]:
    """Return the neighbours of the winner: one step each way in its three most important hyperparameters.

    A hyperparameter without effect on the winner's recipe is passed over, and so is a value that cannot be trained.

    Args:
        plan: the planned confirmation.
        winner: number of the winner's trial.
    """
    config = plan.campaign.config
    rung = config.rungs[0] if config.rungs else config.steps
    trials = [
        (trial.params, trial.epochs[rung].value)
        for trial in plan.campaign.folder.read_journal()
        if rung in trial.epochs and math.isfinite(trial.epochs[rung].value)
    ]
    found: list[Neighbour] = []
    names: set[str] = set()
    for name in order_by_importance(config.space, trials):
        if len(names) == MAX_NEIGHBOURS // 2:
            break
        for value in config.space.dimensions()[name].neighbours(plan.candidate(winner).hyperparameters[name]):
            neighbour = _make_neighbour(plan, plan.candidate(winner), name, value, INCUMBENT - 1 - len(found))
            if neighbour is not None:
                names.add(name)
                found.append(neighbour)
    return found


def _make_neighbour(
    plan: ConfirmationPlan, winner: Candidate, name: str, value: float, number: int
) -> Neighbour | None:
    """Return a neighbour; None if its recipe is the winner's, or cannot be trained."""
    try:
        hyperparameters = Hyperparameters.pick({**winner.hyperparameters, name: value})
        for fold in plan.folds:
            fold.check_batch_size(hyperparameters.batch_size)
    except (ValidationError, PresetSearchError):
        return None
    recipe = hyperparameters.apply(plan.campaign.base)
    if recipe == winner.recipe:
        return None
    candidate = Candidate(number, hyperparameters.model_dump(), recipe, winner.expected_epochs)
    return Neighbour(candidate, name, value)


def neighbour_cells(plan: ConfirmationPlan, race: Race, neighbours: Sequence[Neighbour]) -> list[Cell]:
    """Return the trainings of the neighbours: on the first cells of the winner, as far as trainings are left.

    Each neighbour is trained on each fold once at most.

    Args:
        plan: the planned confirmation.
        race: the race, which is over.
        neighbours: the neighbours of the winner, from `find_neighbours`.
    """
    left = plan.rules.trainings + plan.reserved - len(race.cells)
    rounds = plan.rules.rounds[: min(left // max(len(neighbours), 1), len(plan.folds))]
    return [Cell(neighbour.candidate, seed, split) for seed, split in rounds for neighbour in neighbours]


def compare_with_neighbours(
    plan: ConfirmationPlan,
    race: Race,
    winner: int,
    neighbours: Sequence[Neighbour],
    scores: Mapping[CellKey, float | None],
) -> Neighbourhood | None:
    """Compare the winner with its neighbours; None if none was trained.

    Args:
        plan: the planned confirmation.
        race: the race, which is over.
        winner: number of the winner's trial.
        neighbours: the neighbours of the winner.
        scores: the score of each training of the race and of the neighbours; None where it failed.
    """
    cells = neighbour_cells(plan, race, neighbours)
    rounds = list(dict.fromkeys((cell.seed, cell.split) for cell in cells))
    if not rounds:
        return None
    by_number = {
        one.candidate.number: [scores[CellKey(one.candidate.number, *cell)] for cell in rounds] for one in neighbours
    }
    complete = {number: np.array(row, dtype=np.float64) for number, row in by_number.items() if None not in row}
    of_winner = np.array([scores[CellKey(winner, *cell)] for cell in rounds], dtype=np.float64)
    drop, drops = Interval(math.nan, math.nan, math.nan), dict[int, float]()
    if complete:
        started = len(plan.rules.candidates)
        drop = drop_to_neighbours(of_winner, np.stack(list(complete.values())), _noise(race, scores), started)
        drops = {number: float((of_winner - row).mean()) for number, row in complete.items()}
    return Neighbourhood(
        word=None if not math.isfinite(drop.low) else "spike" if drop.low > 0 else "plateau",
        cells=len(rounds),
        drop=drop.value,
        low=drop.low,
        high=drop.high,
        neighbours=tuple(
            NeighbourFigures(hyperparameter=one.name, value=one.value, drop=drops.get(one.candidate.number))
            for one in neighbours
        ),
    )


def _noise(race: Race, scores: Mapping[CellKey, float | None]) -> Noise:
    """Return the noise of a training, pooled over the stretches of rounds between which candidates were dropped."""
    rounds: dict[tuple[int, str], list[int]] = {}
    for cell in race.cells:
        if cell.number != INCUMBENT:
            rounds.setdefault((cell.seed, cell.split), []).append(cell.number)
    tables = []
    for numbers, stretch in groupby(rounds, key=lambda cell: rounds[cell]):
        cells = list(stretch)
        rows = [[scores[CellKey(number, *cell)] for cell in cells] for number in numbers]
        table = np.array([row for row in rows if None not in row], dtype=np.float64).reshape(-1, len(cells))
        tables.append(table[:, np.isfinite(table).all(axis=0)])
    return pooled_noise(tables)
