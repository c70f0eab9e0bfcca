"""The retry policy: whether a training that failed is run again, given up, or ends the campaign.

The same policy applies to the trials of the study, to the incumbent, and to the cells of a confirmation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import ConfigError

Cause = Literal["failure", "death", "out of memory", "lost node", "storage", "unfit node"]
Consequence = Literal["retry", "give up", "end campaign"]


@dataclass(frozen=True)
class TrainingFailure:
    """The reason why a training process reports no epoch.

    Attributes:
        cause: `failure` (the training itself failed, and would fail again), `death` (its process is gone), `out of
            memory`, `lost node` (its machine is gone, as after a preemption), `storage` (its checkpoints cannot be
            written or read), or `unfit node` (its machine lacks something that the campaign needs).
        reason: the error in one line.
    """

    cause: Cause
    reason: str


@dataclass(frozen=True)
class RetryPolicy:
    """Decides what follows a failed training, by the cause of the failure.

    Attributes:
        attempts: a training is given up at this death of its process in a row, that is without a new epoch between
            them; the loss of a node does not count. The storage may fail this many times in a row for it; the next
            failure ends the campaign.
        has_remote_storage: whether checkpoints go to a storage that may recover by itself, as a full disk does not.

    >>> policy = RetryPolicy(attempts=3)
    >>> [policy.decide("death", deaths, refusals=0) for deaths in (1, 2, 3)]
    ['retry', 'retry', 'give up']
    >>> policy.decide("storage", deaths=0, refusals=1)
    'end campaign'
    """

    attempts: int
    has_remote_storage: bool = False

    def decide(self, cause: Cause, deaths: int, refusals: int) -> Consequence:
        """Return what follows a failure.

        Args:
            cause: cause of the failure.
            deaths: number of deaths in a row of this training's process, this one included.
            refusals: number of times in a row that the storage failed for this training, this one included.
        """
        match cause:
            case "failure":
                return "give up"
            case "lost node":
                return "retry"
            case "unfit node":
                return "end campaign"
            case "storage":
                return "retry" if self.has_remote_storage and refusals <= self.attempts else "end campaign"
            case "death" | "out of memory":
                return "retry" if deaths < self.attempts else "give up"

    def campaign_error(self, failure: TrainingFailure) -> ConfigError:
        """Return the error that ends the campaign; its remedy depends on the cause.

        Args:
            failure: the failure for which `decide` returned `end campaign`.
        """
        if failure.cause != "storage":
            remedy = "Then resume the campaign"
        elif self.has_remote_storage:  # the storage is available to the driver, but not to the node of the training
            remedy = "Give every node access to the storage, then resume the campaign"
        else:
            remedy = "Free disk space, then resume the campaign"
        return ConfigError(failure.reason.rstrip("."), remedy)
