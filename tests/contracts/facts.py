"""What Ray Tune does, seen in one session of its own process: `python -m tests.contracts.facts` prints it as JSON."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from search.cluster.session import ray_session
from search.engine.adapters import read_process_error


class Watcher:
    """Notes what a scheduler and a searcher are told, in order."""

    def __init__(self) -> None:
        self.events: list[list[Any]] = []


class WatchingScheduler(FIFOScheduler):
    """Stops a trial at epoch 2 if it is told to."""

    def __init__(self, watcher: Watcher, stop: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.watcher, self.stop = watcher, stop

    def __getstate__(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Note it."""
        self.watcher.events.append(["scheduler result", sorted(key for key in result if key.startswith("row"))])
        return str(TrialScheduler.STOP if self.stop and result["epoch"] == 2 else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Note it."""
        error = read_process_error(trial)
        self.watcher.events.append(["scheduler error", [trial.get_error() is None, str(error).splitlines()[-1]]])


class WatchingSearcher(Searcher):
    """Gives a number of trials, one at a time."""

    def __init__(self, watcher: Watcher, trials: int) -> None:
        super().__init__()
        self.watcher, self.left, self.live = watcher, trials, 0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """The next one, None while one runs, then FINISHED."""
        if self.live:
            return None
        if self.left == 0:
            return Searcher.FINISHED
        self.left, self.live = self.left - 1, 1
        return {"x": self.left}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note it."""
        self.watcher.events.append(["searcher result", []])

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Note it."""
        self.live = 0
        self.watcher.events.append(["searcher complete", [error, result is not None]])

    def save(self, checkpoint_path: str) -> None:
        """Do nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing."""


class Plain(tune.Trainable):
    """Reports epochs; says `done` or raises at the third, if it is told to."""

    ending = "done"

    def setup(self, config: dict[str, Any]) -> None:
        """Begin."""
        self.epoch = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin anew."""
        self.epoch = 0
        return True

    def step(self) -> dict[str, Any]:
        """One epoch."""
        self.epoch += 1
        if self.epoch == 3 and self.ending == "error":
            raise ValueError("of our own")
        return {"epoch": self.epoch, "done": self.epoch == 3, "row": {"value": 0.5}, "process": os.getpid()}


class Failing(Plain):
    """Raises."""

    ending = "error"


def observe(trainable: type[Plain], trials: int, stop: bool, folder: str) -> dict[str, Any]:
    """Run some trials, one at a time; what was told, and in how many processes they ran."""
    watcher = Watcher()
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=WatchingSearcher(watcher, trials),
            scheduler=WatchingScheduler(watcher, stop),
            num_samples=-1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            storage_path=folder,
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    processes = {result.metrics.get("process") for result in tuner.fit() if result.metrics}
    return {"events": watcher.events, "processes": len(processes)}


def main() -> None:
    """Print all that was seen."""
    with tempfile.TemporaryDirectory() as folder, ray_session():
        seen = {
            "done": observe(Plain, 1, stop=False, folder=folder),
            "stopped": observe(Plain, 3, stop=True, folder=folder),
            "error": observe(Failing, 1, stop=False, folder=folder),
        }
    print(json.dumps(seen))  # noqa: T201


if __name__ == "__main__":
    main()
