"""Trains the incumbent once beside the trials: a Ray task that yields each epoch as it is done.

If its process dies, it begins again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from core.dataset import Dataset
from core.device import resolve_device
from core.errors import ConfigError
from core.files import write_json
from core.trainer import Trainer
from search import results
from search.study import Epoch, TrialLog
from search.trial import TRAINING, TrialJob, as_row, failure

_LOOK_SECONDS = 0.5


@ray.remote(max_retries=0)
def _train(job: TrialJob, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield a row an epoch; a failure of our own is the last one."""
    torch.set_num_threads(job.threads)
    try:
        for result in Trainer(job.base, dataset, resolve_device(job.device)):
            yield {"outcome": TRAINING, "row": as_row(result)}
    except Exception as error:  # whatever it was is told in the row
        yield failure(error)


class IncumbentTraining:
    """The incumbent's training, under way in a process of its own. Its epochs are kept in a file once it has ended."""

    def __init__(
        self,
        job: TrialJob,
        dataset: Dataset,
        six: dict[str, Any],
        gpus: float,
        path: Path,
        on_epoch: Callable[[TrialLog], None],
        attempts: int = 4,
    ) -> None:
        """Start it, as soon as the cluster has room; if it has ended before, take what its file says."""
        self.log = TrialLog(0, six, "incumbent")
        self._path = path
        self._on_epoch = on_epoch
        self._stream: Any = None
        if path.is_file():
            self._read()
        else:
            self._task = _train.options(num_cpus=job.threads, num_gpus=gpus)
            self._arguments = job, ray.put(dataset)
            self._attempts = attempts
            self._start()

    def _start(self) -> None:
        self.log.attempts += 1
        self._stream = self._task.remote(*self._arguments)

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self.log.outcome is not None

    def poll(self) -> None:
        """Take in the epochs that are done, without waiting."""
        while not self.ended and ray.wait([self._stream], timeout=0)[0]:
            self._take()

    def wait(self, stop_requested: Callable[[], bool]) -> None:
        """Take in all epochs to come, until it has ended or is to stop."""
        while not self.ended and not stop_requested():
            ray.wait([self._stream], timeout=_LOOK_SECONDS)
            self.poll()

    def _take(self) -> None:
        try:
            told: dict[str, Any] = ray.get(next(self._stream))
        except StopIteration:
            self.log.outcome = "complete"
            write_json(self._path, {"rows": [entry.row for entry in self.log.epochs.values()]})
        except RayError as error:
            if self.log.attempts < self._attempts:
                self._start()
            else:
                self.log.outcome, self.log.reason = "failed", results.first_line(error)
        else:
            if told["outcome"] == TRAINING:
                self._add(told["row"])
                self._on_epoch(self.log)
            else:
                self.log.outcome, self.log.reason = "failed", told["reason"]

    def _add(self, row: dict[str, Any]) -> None:
        self.log.epochs[row["epoch"]] = Epoch(row["value"], row, None)

    def _read(self) -> None:
        try:
            for row in json.loads(self._path.read_text())["rows"]:
                self._add(row)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self._path} is damaged ({error})", "Remove it: it is made again") from None
        self.log.outcome = "complete"
        self._on_epoch(self.log)
