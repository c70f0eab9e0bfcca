"""The engine on Ray, for a cluster or one machine: trials run under Ray Tune, other trainings as Ray tasks."""

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
from ray.exceptions import RayError

from core import console
from core.data.dataset import Dataset
from search.cluster.nodes import Node
from search.cluster.preflight import check_cluster
from search.cluster.resources import TrialResources
from search.cluster.session import ray_session
from search.engine.adapters import ControllerScheduler, ControllerSearcher, classify_process_error
from search.engine.barrier import with_start_barrier
from search.engine.job import TrialJob, classify_error
from search.engine.processes import with_announcement
from search.engine.protocol import Finished, Stream
from search.engine.trainable import TrainingTrial
from search.storage.filesystem import Storage
from search.study.controller import Controller
from search.study.retries import TrainingFailure


@ray.remote(max_retries=0)
def _train(training: Callable[..., Iterator[Any]], *arguments: Any) -> Iterator[Any]:
    """Yield the results of a training; an error becomes the last result, because Ray would retry or hide it."""
    try:
        # `yield from` would pass on what Ray sends into generators, which a plain iterator does not take.
        for result in training(*arguments):  # noqa: UP028
            yield result
    except Exception as error:  # every error is reported, with its cause
        yield classify_error(error)


class RayStream:
    """The results of one training that runs as a Ray task."""

    def __init__(self, generator: Any) -> None:
        """Prepare to take results.

        Args:
            generator: Ray's generator of references to the results.
        """
        self.generator = generator

    def take(self) -> Any | TrainingFailure | Finished:
        """Return the next result; a failure, also the death of the process, or `Finished` is the last."""
        try:
            return ray.get(next(self.generator))
        except StopIteration:
            return Finished()
        except RayError as error:
            return classify_process_error(error)


class RayEngine:
    """Runs trainings on the Ray cluster that this process has joined, or on a local one of its own."""

    def session(self) -> AbstractContextManager[None]:
        """Start a local Ray cluster while the block lasts, unless this process has joined one already."""
        return ray_session()

    def share(self, dataset: Any) -> Any:
        """Put a dataset into Ray's object store, and return its reference."""
        return ray.put(dataset)

    def check_nodes(
        self, nodes: Sequence[Node], resources: TrialResources, dataset: Dataset, storage: Storage | None
    ) -> None:
        """Check every node, and print a table of the nodes, see `Engine.check_nodes`."""
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
        """Return the streams that have a result to take, see `Engine.wait`."""
        generators = [stream.generator for stream in streams if isinstance(stream, RayStream)]
        ready, _ = ray.wait(generators, num_returns=1, timeout=seconds)
        if ready:  # other streams may be ready, too
            ready, _ = ray.wait(generators, num_returns=len(generators), timeout=0)
        return [
            stream
            for stream in streams
            if isinstance(stream, RayStream) and any(stream.generator is generator for generator in ready)
        ]


class StepCallback(tune.Callback):
    """Calls a function in every step of Tune, and ends Tune where all that is left are trials that get no process."""

    def __init__(self, on_step: Callable[[], None], is_over: Callable[[], bool] = lambda: False) -> None:
        """Prepare the callback.

        Args:
            on_step: function to call in every step.
            is_over: function that returns whether no trial may be started any more.
        """
        self._on_step: Callable[[], None] | None = on_step
        self._is_over = is_over

    def __getstate__(self) -> dict[str, Any]:
        """Return no function: Tune pickles callbacks into an experiment record, and the function cannot be pickled."""
        return {"_on_step": None}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Do the work beside the trials, and end Tune if it waits in vain."""
        if self._on_step is None:
            return
        self._on_step()
        states = {trial.status for trial in trials}
        if "PENDING" in states and "RUNNING" not in states and self._is_over():
            # Tune waits for processes that may never start. As after Ctrl-C, the journal holds the state of the trials.
            signal.raise_signal(signal.SIGINT)


def run_tuner(
    trainable: Any,
    requirements: dict[str, float],
    controller: Controller,
    scratch: Path,
    on_step: Callable[[], None] = lambda: None,
    starting: int = 1,
) -> None:
    """Run trials with Ray Tune until the controller has no more of them.

    Tune itself does not survive every death of a trial's process: when Ray kills a process because memory runs out,
    `fit` fails with an error that Tune does not expect. Then a new Tuner continues from the journal.

    Args:
        trainable: trainable class like `search.engine.trainable.TrainingTrial`.
        requirements: Ray resources that are reserved for each trial, by name.
        controller: the controller, which makes every decision about the trials.
        scratch: folder for the files that Tune writes, which are not used afterwards.
        on_step: function to call often, between the steps of trials.
        starting: number of trial processes that will start at once; they wait for each other.
    """

    def step() -> None:
        on_step()
        controller.check_stop_request()

    # By default Tune requests one process at a time: no cluster would grow, and no start barrier would fill.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(controller.concurrency)
    trainable = with_start_barrier(with_announcement(trainable), starting)
    for start in count():
        scheduler = ControllerScheduler(controller)
        tuner = _tuner(trainable, requirements, controller, scheduler, scratch / str(start), step)
        try:
            tuner.fit()
            return
        except RuntimeError as error:
            if not isinstance(error.__cause__, RayError):
                raise
            scheduler.on_all_lost(error.__cause__)


def _tuner(
    trainable: Any,
    requirements: dict[str, float],
    controller: Controller,
    scheduler: ControllerScheduler,
    scratch: Path,
    on_step: Callable[[], None],
) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(trainable, requirements),
        tune_config=tune.TuneConfig(
            search_alg=ControllerSearcher(controller),
            scheduler=scheduler,
            num_samples=-1,  # the controller knows when there are enough
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=scratch.name,
            storage_path=str(scratch.parent),
            callbacks=[StepCallback(on_step, lambda: controller.is_over)],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
