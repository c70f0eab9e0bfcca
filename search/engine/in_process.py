"""An engine without Ray, for tests and debuggers: all trainings run in this process, one epoch at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from core.data.dataset import Dataset
from search.cluster.nodes import Node
from search.cluster.resources import TrialResources
from search.engine.job import TrialJob, classify_error
from search.engine.protocol import Finished, Stream
from search.engine.training import Training, make_training
from search.storage.filesystem import Storage
from search.study.controller import Controller
from search.study.retries import TrainingFailure
from search.study.trial_record import TrialRecord

_POLL_SECONDS = 0.05


class InProcessStream:
    """The results of one training, which runs only while a result is taken."""

    def __init__(self, results: Iterator[Any]) -> None:
        """Prepare to take results.

        Args:
            results: the generator of the training, which has not run yet.
        """
        self._results = results

    def take(self) -> Any | TrainingFailure | Finished:
        """Run the training up to its next result, and return that; a failure or `Finished` is the last."""
        try:
            return next(self._results, Finished())
        except Exception as error:  # every error is reported, with its cause
            return classify_error(error)


class InProcessEngine:
    """Runs trainings in this process: trials take turns, one epoch each, in the order in which they were started."""

    def session(self) -> AbstractContextManager[None]:
        """Do nothing: nothing has to be started."""
        return nullcontext()

    def share(self, dataset: Any) -> Any:
        """Return the dataset itself as its handle."""
        return dataset

    def check_nodes(
        self, nodes: Sequence[Node], resources: TrialResources, dataset: Dataset, storage: Storage | None
    ) -> None:
        """Do nothing: there is no other machine to check."""

    def run_trials(
        self,
        job: TrialJob,
        dataset: Any,
        controller: Controller,
        scratch: Path,
        on_step: Callable[[], None],
        starting: int,
    ) -> None:
        """Run the trials in turns, see `Engine.run_trials`."""
        running: dict[int, tuple[int, Training]] = {}
        while True:
            on_step()
            trial = controller.next_trial()
            if isinstance(trial, TrialRecord):
                running[trial.number] = trial.attempt_id, make_training(job, dataset, trial.assignment)
                continue
            if not running:
                if trial == "finished":
                    return
                time.sleep(_POLL_SECONDS)  # the controller waits for a storage that is not available
            for number, (attempt_id, training) in list(running.items()):
                if controller.on_report(number, training.step()) != "continue":
                    del running[number]
                    controller.on_released(number, attempt_id)

    def start(
        self, training: Callable[..., Iterator[Any]], arguments: Sequence[Any], resources: TrialResources
    ) -> Stream:
        """Prepare a training, which runs when its results are taken, see `Engine.start`."""
        return InProcessStream(training(*arguments))

    def wait(self, streams: Sequence[Stream], seconds: float) -> list[Stream]:
        """Return all streams: each computes its next result when that is taken."""
        return list(streams)
