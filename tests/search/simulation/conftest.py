from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from search.study.space import Dimension, Range
from search.study.trial_record import EpochRecord, TrialAssignment
from tests.helpers.trial_records import epoch_record


class Valley:
    """A problem whose best point is x = 0.3, and whose epochs say so from the first on."""

    space: Mapping[str, Dimension] = {"x": Range(low=0.0, high=1.0)}
    max_epochs = 9
    best = 0.0
    typical = -0.1

    def quality(self, params: Mapping[str, Any]) -> float:
        return -float((params["x"] - 0.3) ** 2)

    def epoch(self, trial: TrialAssignment, epoch: int) -> EpochRecord:
        return replace(epoch_record(epoch, self.quality(trial.params) - 1 / epoch), seconds=1.0)
