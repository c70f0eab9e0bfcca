"""The engine of clusters and of one machine's cores: trials are Ray Tune's, other trainings are Ray tasks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import OutOfMemoryError, RayError

from core import console
from core.data.dataset import Dataset
from core.errors import first_line
from search.cluster.nodes import Node
from search.cluster.preflight import check_cluster
from search.cluster.resources import TrialResources
from search.cluster.session import ray_session
from search.engine.adapters import ControllerScheduler, ControllerSearcher, process_failure
from search.engine.barrier import with_start_barrier
from search.engine.job import TrialJob, training_failure
from search.engine.protocol import Finished, Stream
from search.engine.trainable import TrainingTrial
from search.storage.filesystem import Storage
from search.study.controller import Controller
from search.study.retries import Cause, TrainingFailure


@ray.remote(max_retries=0)
def _train(training: Callable[..., Iterator[Any]], *arguments: Any) -> Iterator[Any]:
    """Yield what a training yields; an error of our own is the last result, because Ray would retry or hide it."""
    try:
        # `yield from` would pass on what Ray sends into generators, which a plain iterator does not take.
        for result in training(*arguments):  # noqa: UP028
            yield result
    except Exception as error:  # every error is reported, with its cause
        yield training_failure(error)


class RayStream:
    """The results of one training that runs as a Ray task."""

    def __init__(self, generator: Any) -> None:
        """Take the results from Ray's generator of object references."""
        self.generator = generator

    def take(self) -> Any | TrainingFailure | Finished:
        """Return the next result; the death of the process is a failure like any other."""
        try:
            return ray.get(next(self.generator))
        except StopIteration:
            return Finished()
        except RayError as error:
            return process_failure(error)


class RayEngine:
    """Runs trainings on the Ray cluster that this process has joined, or on a local one of its own."""

    def session(self) -> AbstractContextManager[None]:
        """Start a local Ray cluster while the block lasts, unless this process has joined one already."""
        return ray_session()

    def share(self, dataset: Dataset) -> Any:
        """Put a dataset into the object store; returns its reference."""
        return ray.put(dataset)

    def check_nodes(
        self, nodes: Sequence[Node], resources: TrialResources, dataset: Dataset, storage: Storage | None
    ) -> None:
        """Check every node, and print the table of what was found."""
        console.err.print(check_cluster(nodes, resources, ray.put(dataset), dataset.nbytes, storage))

    def run_trials(
        self,
        job: TrialJob,
        dataset: Any,
        controller: Controller,
        scratch: Path,
        on_step: Callable[[], None],
        starting: int,
    ) -> None:
        """Run the trials with Ray Tune, see `Engine.run_trials`."""
        trainable = tune.with_parameters(TrainingTrial, job=job, load=partial(ray.get, dataset))
        run_tuner(trainable, job.resources.requirements, controller, scratch, on_step, starting)

    def start(
        self, training: Callable[..., Iterator[Any]], arguments: Sequence[Any], resources: TrialResources
    ) -> Stream:
        """Start a training as a Ray task, as soon as the cluster has room for it."""
        task = _train.options(num_cpus=resources.cpus, num_gpus=resources.gpus)
        return RayStream(task.remote(training, *arguments))

    def wait(self, streams: Sequence[Stream], seconds: float) -> list[Stream]:
        """Return the streams that have a result to take."""
        generators = [stream.generator for stream in streams if isinstance(stream, RayStream)]
        ready, _ = ray.wait(generators, num_returns=1, timeout=seconds)
        if ready:  # more than one may be
            ready, _ = ray.wait(generators, num_returns=len(generators), timeout=0)
        return [
            stream
            for stream in streams
            if isinstance(stream, RayStream) and any(stream.generator is generator for generator in ready)
        ]


class Ticker(tune.Callback):
    """Calls a function often while Tune runs, and ends Tune where only trials are left that get no process."""

    def __init__(self, on_step: Callable[[], None], is_over: Callable[[], bool] = lambda: False) -> None:
        """Call `on_step`; `is_over` returns whether no trial is to be started any more."""
        self._on_step: Callable[[], None] | None = on_step
        self._is_over = is_over

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles callbacks into a record of its own, and what is called cannot be pickled."""
        return {"_on_step": None}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look after what runs beside the trials."""
        if self._on_step is None:
            return
        self._on_step()
        states = {trial.status for trial in trials}
        if "PENDING" in states and "RUNNING" not in states and self._is_over():
            # Tune waits for processes that may never come. As after Ctrl-C, the journal knows where the trials are.
            signal.raise_signal(signal.SIGINT)


def run_tuner(
    trainable: Any,
    requirements: dict[str, float],
    controller: Controller,
    scratch: Path,
    on_step: Callable[[], None] = lambda: None,
    starting: int = 1,
) -> None:
    """Hand the trials to Ray Tune and wait until the controller has no more of them.

    Tune itself does not survive every death of a trial's process: when Ray kills one for want of memory, `fit` fails
    with an error that Tune does not expect. A new Tuner continues from the journal.

    Args:
        trainable: a class like `search.engine.trainable.TrainingTrial`.
        requirements: what Ray sets aside for one trial.
        controller: decides over all trials.
        scratch: folder for the files that Tune writes, which nobody needs.
        on_step: called often.
        starting: how many trial processes will start at once; they wait for each other.
    """
    # Without it Tune asks for one process at a time: no cluster would grow by that, and no start barrier would fill.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(controller.concurrency)
    for start in count():
        tuner = _tuner(with_start_barrier(trainable, starting), requirements, controller, scratch / str(start), on_step)
        try:
            tuner.fit()
            return
        except RuntimeError as error:
            if not isinstance(error.__cause__, RayError):
                raise
            cause: Cause = "out of memory" if isinstance(error.__cause__, OutOfMemoryError) else "death"
            controller.on_all_died(TrainingFailure(cause, first_line(error.__cause__)))


def _tuner(
    trainable: Any, requirements: dict[str, float], controller: Controller, scratch: Path, on_step: Callable[[], None]
) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(trainable, requirements),
        tune_config=tune.TuneConfig(
            search_alg=ControllerSearcher(controller),
            scheduler=ControllerScheduler(controller),
            num_samples=-1,  # the controller knows when there are enough
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=scratch.name,
            storage_path=str(scratch.parent),
            callbacks=[Ticker(on_step, controller.is_over)],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
