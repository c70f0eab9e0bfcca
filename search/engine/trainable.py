"""The Tune trainable around `core.training.trainer.Trainer`: one step is one epoch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ray import tune

from core.data.dataset import Dataset
from core.files import table_bytes
from core.training.trainer import Trainer
from search.engine.job import TRAINING, TrialJob, epoch_row, failure_result
from search.results.folder import PREDICTIONS_FILE, RETURNS_FILE
from search.results.predictions import VAL, Source, predictions_table, returns_table
from search.storage.checkpoints import Checkpoints
from search.storage.filesystem import Storage


class TrainingTrial(tune.Trainable):
    """One trial. Its process is reused by the next: starting one costs more than many an epoch.

    Every result has `outcome`: training, with the epoch as `row` in JSON; or failed (it would again), no room (for
    want of memory), no storage (what it has to keep cannot be written) or unfit (the machine), with the `reason`.
    """

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], job: TrialJob, load: Callable[[], Dataset]
    ) -> None:
        """Take the shared parts; the trainer is built in the first step, so that its failure is a result too."""
        self._job = job
        self._dataset = load()
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial in the same process."""
        self._asked = new_config
        self._trainer: Trainer | None = None
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch. A failure of our own is a result, not an exception: Ray would count it as a dead process."""
        try:
            trainer = self._trainer = self._trainer or self._build()
            row = epoch_row(trainer.run_epoch())
            self._keep(trainer)
        except Exception as error:  # whatever it was is told in the result
            self._trainer = None
            return failure_result(error)
        # As a text: Tune would flatten a mapping.
        return {"outcome": TRAINING, "row": json.dumps(row)}

    @property
    def _own(self) -> Storage:
        return self._job.storage.at(str(self._asked["number"]))

    def _build(self) -> Trainer:
        """A trainer, at the last epoch that the journal knows and a checkpoint was kept of."""
        job, asked = self._job, self._asked
        self._checkpoints = Checkpoints(self._own, asked["attempt"], job.rungs)
        device = job.prepare()
        return self._checkpoints.trainer(job.training_config(asked), self._dataset, device, asked["last_epoch"])

    def _keep(self, trainer: Trainer) -> None:
        """Write what outlives this process: a checkpoint if it is time for one, and what the last epoch predicts."""
        if trainer.finished:
            write_outputs(trainer, self._dataset, self._asked["number"], self._own.at(str(self._asked["attempt"])))
        self._checkpoints.keep(trainer)


def write_outputs(trainer: Trainer, dataset: Dataset, number: int, storage: Storage) -> None:
    """Write what the best weights predict on val, and what following them would have earned.

    Raises:
        StorageError: it cannot be written.
    """
    source = Source(number, trainer.config.trainer.seed, VAL)
    probabilities = trainer.best_probabilities()
    for name, table in ((PREDICTIONS_FILE, predictions_table), (RETURNS_FILE, returns_table)):
        storage.write(name, table_bytes(table(source, dataset, dataset.val, probabilities)))
