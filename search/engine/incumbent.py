"""Trains the incumbent once beside the trials: a Ray task that yields each epoch as it is done.

Its epochs are kept in a file as they come, and checkpoints of it as of the trials, so it goes on where it was ended.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from core import errors
from core.data.dataset import Dataset
from core.errors import ConfigError
from core.files import write_json
from search.engine.job import NO_ROOM, NO_STORAGE, TRAINING, TrialJob, epoch_row, failure_result
from search.storage.checkpoints import Checkpoints
from search.storage.filesystem import StorageError
from search.storage.monitor import StorageMonitor
from search.study.trial_record import TrialRecord

FOLDER = "incumbent"
POLL_SECONDS = 0.5


@ray.remote(max_retries=0)
def _train(job: TrialJob, dataset: Dataset, attempt: int, last_epoch: int) -> Iterator[dict[str, Any]]:
    """Yield a row an epoch; a failure of our own is the last one."""
    try:
        device = job.prepare()
        checkpoints = Checkpoints(job.storage.at(FOLDER), attempt)
        trainer = checkpoints.trainer(job.base, dataset, device, last_epoch)
        for result in trainer:
            with suppress(StorageError):  # without it some epochs may have to be run again
                checkpoints.keep(trainer)
            yield {"outcome": TRAINING, "row": epoch_row(result)}
    except Exception as error:  # whatever it was is told in the row
        yield failure_result(error)


class IncumbentTraining:
    """The incumbent's training, under way in a process of its own."""

    def __init__(
        self,
        job: TrialJob,
        dataset: Any,
        six: dict[str, Any],
        path: Path,
        on_epoch: Callable[[TrialRecord], None],
        attempts: int = 4,
        watch: StorageMonitor | None = None,
        generation: int = 0,
    ) -> None:
        """Start it, as soon as the cluster has room, where its file ends; if it has ended before, take what that says.

        `dataset` lies in the object store. `watch` knows whether the storage answers, where it is not a disk of this
        machine's; `generation` is the study's.

        Raises:
            ConfigError: the file is damaged.
        """
        self.log = TrialRecord(0, six, "incumbent", generation=generation)
        self._path = path
        self._on_epoch = on_epoch
        self._task = _train.options(num_cpus=job.resources.cpus, num_gpus=job.resources.gpus)
        self._job = job
        self._attempts = attempts
        self._stream: Any = None
        self._waits = False  # for the storage
        self._refused = 0  # how often there was none since the last epoch
        self._watch = watch
        if path.is_file():
            self._read()
        self._dataset = dataset
        if not self.ended:
            self._start()

    def _start(self) -> None:
        self._waits = False
        self.log.attempts += 1
        self._write()  # nobody may take this attempt's number again
        self._stream = self._task.remote(self._job, self._dataset, self.log.attempt_id, self.log.last_epoch)

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self.log.outcome is not None

    def poll(self) -> None:
        """Take in the epochs that are done, without waiting."""
        while not self.ended:
            if self._waits and self._storage_answers():
                self._start()
            if self._waits or not ray.wait([self._stream], timeout=0)[0]:
                return
            self._take()

    def _storage_answers(self) -> bool:
        try:
            return self._watch is None or self._watch.is_available()
        except StorageError as error:
            self.log.outcome, self.log.reason = "failed", str(error)
            return False

    def wait(self, stop_requested: Callable[[], bool]) -> None:
        """Take in all epochs to come, until it has ended or is to stop."""
        while not self.ended and not stop_requested():
            if not self._waits:
                ray.wait([self._stream], timeout=POLL_SECONDS)
            else:
                time.sleep(POLL_SECONDS)
            self.poll()

    def _take(self) -> None:
        try:
            told: dict[str, Any] = ray.get(next(self._stream))
        except StopIteration:
            self.log.outcome = "complete"
            self._write()
        except RayError as error:
            self._died(errors.first_line(error))
        else:
            if told["outcome"] == NO_ROOM:
                self._died(told["reason"])
            elif told["outcome"] == NO_STORAGE and self._watch is not None and self._refused < self._attempts:
                self._refused += 1
                self._watch.report_failure(told["reason"])
                self._waits = True
            elif told["outcome"] != TRAINING:
                self.log.outcome, self.log.reason = "failed", told["reason"]
            elif told["row"]["epoch"] not in self.log.epochs:  # otherwise it was run again
                self._add(told["row"])
                self._refused = 0
                self._write()
                self._on_epoch(self.log)

    def _died(self, reason: str) -> None:
        self.log.deaths.append(reason)
        if len(self.log.deaths) < self._attempts:
            self._start()
        else:
            self.log.outcome, self.log.reason = "failed", reason

    def _add(self, row: dict[str, Any]) -> None:
        self.log.epochs[row["epoch"]] = self.log.entry(row)

    def _write(self) -> None:
        rows = [entry.row for entry in self.log.epochs.values()]
        content = {"complete": self.log.outcome == "complete", "attempts": self.log.attempts, "rows": rows}
        with suppress(ConfigError):  # a full disk ends the campaign through its journal, which says so
            write_json(self._path, content)

    def _read(self) -> None:
        try:
            content = json.loads(self._path.read_text())
            self.log.attempts = content["attempts"]
            for row in content["rows"]:
                self._add(row)
            if content["complete"]:
                self.log.outcome = "complete"
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self._path} is damaged ({error})", "Remove it: it is made again") from None
        if self.log.epochs:
            self._on_epoch(self.log)
