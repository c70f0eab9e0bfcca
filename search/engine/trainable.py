"""Lets Ray Tune run the training of a trial as a trainable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray import tune

from search.engine.job import TrialJob
from search.engine.training import make_training


class TrainingTrial(tune.Trainable):
    """Trains one trial after another in the same process, because starting a process can take longer than an epoch.

    The configuration from Tune holds a `TrialAssignment` as `assignment`. Every result holds as `report` an
    `EpochRecord` or a `TrainingFailure`. An error of a training is a result and not an exception, because Ray would
    take an exception for the death of the process.
    """

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], job: TrialJob, load: Callable[[], Any]
    ) -> None:
        """Load the dataset that all trials in this process share, and begin the first trial.

        Args:
            config: the configuration from Tune.
            job: the part of a training that all trials share.
            load: function that returns the dataset, or those of all folds.
        """
        self._job = job
        self._dataset = load()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process.

        Args:
            new_config: the configuration from Tune.

        Returns:
            True, which tells Tune that the process can be reused.
        """
        self._training = make_training(self._job, self._dataset, new_config["assignment"])
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch, and return its report."""
        return {"report": self._training.step()}
