"""The candidates of a confirmation, and the trainings of each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from core.config import TrainingConfig
from search.confirmation.subject import Contender


@dataclass(frozen=True)
class Candidate(Contender):
    """A contender with the recipe to confirm.

    Attributes:
        recipe: the whole recipe; its seed is replaced in each cell.
        expected_epochs: number of epochs that a training is expected to run, for the estimate of the time.
    """

    recipe: TrainingConfig
    expected_epochs: int


@dataclass(frozen=True)
class Cell:
    """One training of a confirmation.

    Attributes:
        candidate: the candidate that is trained.
        seed: seed of the training.
        split: `fold 1` and so on for the out-of-fold trainings, or `test` for the final one.
    """

    candidate: Candidate
    seed: int
    split: str

    @property
    def recipe(self) -> TrainingConfig:
        """The whole recipe, with the seed of the cell."""
        return self.candidate.recipe.with_trainer(seed=self.seed)

    def key(self, identity: str, folds: int, within: tuple[int, int] | None = None) -> str:
        """Return a hash of all that the result of the cell depends on, by which a finished cell is found again.

        Args:
            identity: hash of the data and the program, see `CampaignConfig.data_identity`.
            folds: number of folds, which decides where each of them lies.
            within: where their blocks begin and end, in microseconds since 1970; None if they lie before val.
        """
        content = [
            self.recipe.model_dump(mode="json"),
            self.split,
            folds,
            identity,
            *([list(within)] if within else []),
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
