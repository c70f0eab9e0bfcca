"""What happens to a training that could not go on: run it again, give it up, or end the campaign.

One policy for all trainings: the trials of the study, the incumbent, and the cells of a confirmation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import ConfigError

Cause = Literal["failure", "death", "out of memory", "storage", "unfit node"]
Verdict = Literal["retry", "give up", "end campaign"]


@dataclass(frozen=True)
class TrainingFailure:
    """Why a training process reports no epoch.

    Attributes:
        cause: `failure` (the training itself failed, and would fail again), `death` (its process or node is gone),
            `out of memory`, `storage` (the files that it has to keep cannot be written or read), or `unfit node`
            (the machine cannot take part as it is).
        reason: the error in one line.
    """

    cause: Cause
    reason: str


@dataclass(frozen=True)
class RetryPolicy:
    """Decides by the cause of a failure.

    Attributes:
        attempts: how often the process of one training may die, and how often in a row it may find no storage.
        has_remote_storage: whether files go to a storage that may come back by itself; a full disk does not.
    """

    attempts: int
    has_remote_storage: bool = False

    def decide(self, cause: Cause, deaths: int, refusals: int) -> Verdict:
        """Return what is to be done.

        Args:
            cause: of the latest failure.
            deaths: how often the process of this training has died, this time included.
            refusals: how often in a row the training found no storage, this time included.
        """
        match cause:
            case "failure":
                return "give up"
            case "unfit node":
                return "end campaign"
            case "storage":
                return "retry" if self.has_remote_storage and refusals <= self.attempts else "end campaign"
            case "death" | "out of memory":
                return "retry" if deaths < self.attempts else "give up"

    def campaign_error(self, failure: TrainingFailure) -> ConfigError:
        """Return the error that a campaign ends with where `decide` says so; its remedy depends on the cause."""
        if failure.cause != "storage":
            remedy = "Then resume the campaign"
        elif self.has_remote_storage:  # it answers the driver, but not the node where the training runs
            remedy = "Give every node access to the storage, then resume the campaign"
        else:
            remedy = "Make room, then resume the campaign"
        return ConfigError(failure.reason.rstrip("."), remedy)
