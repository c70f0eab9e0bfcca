"""What a verdict is about: the campaign, the contenders and the data of a confirmation, without how it is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from core.config import RankingMetric
from core.data.dataset import Dataset
from core.evaluation.block_bootstrap import minimum_block_length
from search.results.folder import CampaignFolder
from search.results.predictions import INCUMBENT
from search.results.records import CampaignRecord


@dataclass(frozen=True)
class Contender:
    """A trial that may win, the incumbent, or a neighbour of the winner.

    Attributes:
        number: number of the trial that the hyperparameters come from, `INCUMBENT`, or a number below for a neighbour.
        hyperparameters: the six hyperparameters, by name.
    """

    number: int
    hyperparameters: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the contender, for messages and as a key."""
        if self.number < INCUMBENT:
            return f"neighbour {INCUMBENT - self.number} of the winner"
        return "incumbent" if self.number == INCUMBENT else f"trial {self.number}"


@dataclass(frozen=True)
class ConfirmationSubject:
    """The campaign, the contenders and the data that a verdict is about.

    Attributes:
        folder: the folder of the campaign.
        record: the facts of the campaign's file.
        seeds: seeds of the trainings of each contender.
        folds: number of folds.
        incumbent: name of the preset to beat.
        contenders: the trials that finished the race or failed in it, the best of the search first, then the incumbent.
        dataset: the splits of the campaign, test included.
        dropped: number of trials that were dropped from the race because they were behind.
    """

    folder: CampaignFolder
    record: CampaignRecord
    seeds: tuple[int, ...]
    folds: int
    incumbent: str
    contenders: tuple[Contender, ...]
    dataset: Dataset
    dropped: int = 0

    @property
    def metric(self) -> RankingMetric:
        """Metric that ranks trials and candidates."""
        return cast(RankingMetric, self.record.metric)

    @property
    def min_block(self) -> int:
        """The fewest bars of a block of the bootstrap."""
        return minimum_block_length(self.dataset.horizon, self.dataset.bar)
