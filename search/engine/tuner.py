"""Ray Tune, as a campaign uses it: trials that a controller decides over."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import OutOfMemoryError, RayError

from core.errors import first_line
from search.engine.adapters import ControllerScheduler, ControllerSearcher
from search.engine.barrier import with_start_barrier
from search.study.controller import Controller


class Ticker(tune.Callback):
    """Calls a function often, while Tune runs; ends Tune where only trials are left that nobody gives a process."""

    def __init__(self, on_step: Callable[[], None], is_over: Callable[[], bool] = lambda: False) -> None:
        """Call `on_step`; `is_over` says whether no trial is to be begun any more."""
        self._on_step: Callable[[], None] | None = on_step
        self._is_over = is_over

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles callbacks into its own record, and what is called holds what cannot be."""
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


def run_trials(
    trainable: Any,
    resources: dict[str, float],
    controller: Controller,
    raw: Path,
    on_step: Callable[[], None] = lambda: None,
    processes: int = 1,
) -> None:
    """Hand the trials to Ray Tune and wait until the controller has no more of them.

    Tune itself does not survive every death of a trial's process: when Ray kills one for want of memory, the call fails
    with an error that Tune does not expect. The journal knows where all trials are; a new Tuner goes on from there.

    Args:
        trainable: a class like `search.engine.trainable.TrainingTrial`.
        resources: of one trial.
        controller: decides over all.
        raw: folder for what Tune itself writes, of use to nobody.
        on_step: called often.
        processes: how many of trials there will be soon; they begin together.
    """
    # Without it Tune asks for one process at a time: no cluster grows by that, and no gate fills.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(controller.concurrency)
    for start in count():
        try:
            _tuner(with_start_barrier(trainable, processes), resources, controller, raw / str(start), on_step).fit()
            return
        except RuntimeError as error:
            if not isinstance(error.__cause__, RayError):
                raise
            controller.on_all_died(first_line(error.__cause__), no_room=isinstance(error.__cause__, OutOfMemoryError))


def _tuner(
    trainable: Any, resources: dict[str, float], controller: Controller, raw: Path, on_step: Callable[[], None]
) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(trainable, resources),
        tune_config=tune.TuneConfig(
            search_alg=ControllerSearcher(controller),
            scheduler=ControllerScheduler(controller),
            num_samples=-1,  # the controller knows when there are enough
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=raw.name,
            storage_path=str(raw.parent),
            callbacks=[Ticker(on_step, controller.is_over)],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
