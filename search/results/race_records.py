"""What a verdict says of the race among the candidates, and of the neighbours of the winner; neither certifies."""

from __future__ import annotations

from typing import Any, Literal

from search.results.records import Number, Record

NeighbourhoodWord = Literal["plateau", "spike"]


class DroppedCandidate(Record):
    """A candidate that was dropped from the race."""

    trial: int
    """Number of the trial that it comes from."""
    hyperparameters: dict[str, Any]
    """Its hyperparameters, by name."""
    cells: int
    """Number of trainings that it had by then, each with a seed on a fold."""
    reason: Literal["failed", "behind the best", "too few trainings left"]
    """Why it was dropped."""
    gap: Number
    """By how much it was behind the best candidate in the mean of the ranking metric; None if it failed."""
    low: Number
    """Lower bound of the gap, which allows for all comparisons of the race; above 0 if it was behind for sure."""


class RaceRecord(Record):
    """The race among the candidates."""

    started: int
    """Number of candidates that it began with."""
    trainings: int
    """Number of its trainings, those of the incumbent included."""
    dropped: tuple[DroppedCandidate, ...]
    """The candidates that were dropped, in their order."""


class NeighbourFigures(Record):
    """A neighbour of the winner: the same hyperparameters, but for one."""

    hyperparameter: str
    """Name of the hyperparameter that differs."""
    value: float
    """Its value."""
    drop: Number
    """The winner's ranking metric less the neighbour's, mean over the cells that they share; None if it failed."""


class Neighbourhood(Record):
    """How the neighbours of the winner compare with it, on the cells that all of them were trained on.

    The interval allows for the winner having been chosen on these cells.
    """

    word: NeighbourhoodWord | None
    """`spike` if the lower end of the mean drop is above 0: the neighbours are worse for sure. `plateau` if not; the
    upper end says how large a drop cannot be excluded. None where there is no interval."""
    cells: int
    """Number of trainings of each neighbour, each with a seed on a fold."""
    drop: Number
    """The winner's ranking metric less the mean of its neighbours; None if all of them failed."""
    low: Number
    """Lower end of the interval of the mean drop."""
    high: Number
    """Upper end of the interval of the mean drop."""
    neighbours: tuple[NeighbourFigures, ...]
    """The neighbours, those of the most important hyperparameter first."""
