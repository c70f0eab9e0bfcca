"""Ray Tune's trainable around `TrialTraining`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray import tune

from core.data.dataset import Dataset
from search.engine.job import TrialJob
from search.engine.trial_training import TrialTraining


class TrainingTrial(tune.Trainable):
    """One trial. Its process is reused by the next: starting a process takes longer than many an epoch.

    The configuration that Tune hands over holds a `TrialAssignment` as `assignment`. Every result holds as `report` an
    `EpochRecord` or a `TrainingFailure`. An error of our own is a result and no exception, because Ray would count an
    exception as the death of the process.
    """

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], job: TrialJob, load: Callable[[], Dataset]
    ) -> None:
        """Load what all trials in this process share."""
        self._job = job
        self._dataset = load()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process."""
        self._training = TrialTraining(self._job, self._dataset, new_config["assignment"])
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch."""
        return {"report": self._training.step()}
