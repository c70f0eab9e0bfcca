"""Trains the incumbent once beside the trials: a Ray task that yields each epoch as it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from core.dataset import Dataset
from core.device import resolve_device
from core.trainer import Trainer
from search import results
from search.results import TrialRecord
from search.trial import TrialJob, failure


@ray.remote(max_retries=0)
def _train(job: TrialJob, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield a row an epoch; a failure of our own is the last one."""
    torch.set_num_threads(job.threads)
    try:
        for result in Trainer(job.base, dataset, resolve_device(job.device)):
            yield {**result.as_row(), "outcome": "training"}
    except Exception as error:  # whatever it was is told in the row
        yield failure(error)


class IncumbentTraining:
    """The incumbent's training, under way in a process of its own.

    `record` is kept as a trial's; its status is `interrupted` until the training has ended.
    """

    def __init__(
        self, job: TrialJob, dataset: Dataset, six: dict[str, Any], gpus: float, on_epoch: Callable[[TrialRecord], None]
    ) -> None:
        """Start it, as soon as the cluster has room."""
        self.record = TrialRecord(0, six)
        self._on_epoch = on_epoch
        self._stream: Any = _train.options(num_cpus=job.threads, num_gpus=gpus).remote(job, ray.put(dataset))

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self.record.status != results.INTERRUPTED

    def poll(self) -> None:
        """Take in the epochs that are done, without waiting."""
        while not self.ended and ray.wait([self._stream], timeout=0)[0]:
            self._take()

    def wait(self) -> None:
        """Take in all epochs to come."""
        while not self.ended:
            self._take()

    def _take(self) -> None:
        try:
            row: dict[str, Any] = ray.get(next(self._stream))
        except StopIteration:
            self.record.status = results.COMPLETE
        except RayError as error:
            self.record.status, self.record.reason = results.FAILED, results.first_line(error)
        else:
            if row["outcome"] == "failed":
                self.record.status, self.record.reason = results.FAILED, row["reason"]
            else:
                self.record.epochs.append(row)
                self._on_epoch(self.record)
