"""What the journal costs: our searcher, scheduler and book beside stock OptunaSearch and ASHAScheduler, on stub trials.

Both sides run the same stub on the same Ray, a process each: seconds and memory of the driver a trial and a result.
Then the time of an ask at 1,000 trials, a sampler each.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import peak

TRIALS, MAX_EPOCHS, SLOTS = 300, 9, 2
ASKS = 1000


def value(config: dict[str, Any], epoch: int) -> float:
    """A score that parameters and epoch decide."""
    digest = hashlib.sha256(f"{config['learning_rate']!r}".encode()).hexdigest()
    return int(digest[:6], 16) / 16**6 + 0.01 * epoch


def _stub(ours: bool) -> Any:
    from ray import tune

    from search.trial import TRAINING
    from tests.search.records import row

    class Stub(tune.Trainable):
        """Reports a score at once."""

        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.asked, self.epoch = new_config, 0
            return True

        def step(self) -> dict[str, Any]:
            self.epoch += 1
            found = value(self.asked, self.epoch)
            if ours:
                return {"outcome": TRAINING, "row": json.dumps(row(self.epoch, found))}
            return {"epoch": self.epoch, "value": found}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Nothing."""

    return Stub


def run_ours(folder: Path, trials: int) -> int:
    """Results taken in."""
    from search.book import Book, Budget, Rules
    from search.running import ray_session, run_trials
    from search.space import SpaceConfig
    from search.study import CampaignStudy, StudySettings

    settings = StudySettings("bench", SpaceConfig().distributions(), "tpe", "complete", seed=0)
    study = CampaignStudy(folder / "journal.log", settings)
    book = Book(study, Rules(MAX_EPOCHS, 1, 3, SLOTS), Budget(trials))
    with ray_session():
        started = time.perf_counter()
        run_trials(_stub(ours=True), {"cpu": 1.0}, book, folder / "raw" / "bench")
        _tell(started, sum(len(log.epochs) for log in study.trials.values()))
    return trials


def run_stock(folder: Path, trials: int) -> int:
    """The same with what Ray brings."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from search.running import ray_session
    from search.space import SpaceConfig
    from search.study import make_sampler

    space = SpaceConfig().distributions()
    with ray_session():
        started = time.perf_counter()
        fitted = tune.Tuner(
            tune.with_resources(_stub(ours=False), {"cpu": 1.0}),
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(space=space, metric="value", mode="max", sampler=make_sampler("tpe", 0)),
                scheduler=ASHAScheduler(
                    time_attr="epoch", metric="value", mode="max", max_t=MAX_EPOCHS, grace_period=1, reduction_factor=3
                ),
                num_samples=trials,
                max_concurrent_trials=SLOTS,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="bench", storage_path=str(folder), verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()  # fmt: skip
        _tell(started, sum(result.metrics["epoch"] for result in fitted if result.metrics))
    return trials


def _tell(started: float, results: int) -> None:
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "results": results, "peak": peak()}))


def ask_times(kind: Any, folder: Path, asks: int) -> float:
    """Mean milliseconds of some asks when the study holds `ASKS` trials."""
    from search.space import SpaceConfig
    from search.study import CampaignStudy, StudySettings
    from tests.search.records import log

    settings = StudySettings("bench", SpaceConfig().distributions(), kind, "complete", seed=0)
    study = CampaignStudy(folder / f"{kind}.log", settings)
    rng = np.random.default_rng(0)
    earlier = []
    for number in range(ASKS):
        made = log(number, [0.1, 0.2])
        made.params |= {"learning_rate": float(10 ** rng.uniform(-5, -2.7)), "dropout": float(rng.uniform(0, 0.6))}
        made.epochs[2].value = value(made.params, 2)
        earlier.append(made)
    study.tell_earlier("filler", earlier)
    seconds = []
    for _ in range(asks):
        started = time.perf_counter()
        study.ask()
        seconds.append(time.perf_counter() - started)
    return sum(seconds) / len(seconds) * 1e3


def _child(side: str, trials: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.search", side, str(trials)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    found: dict[str, float] = json.loads(next(line for line in reversed(told.splitlines()) if line.startswith("{")))
    return found


def main() -> None:
    """Print a line a side, the differences, and the asks."""
    few, many = TRIALS // 10, TRIALS
    grown = {}
    for side in ("stock", "ours"):
        small, large = _child(side, few), _child(side, many)
        grown[side] = {key: large[key] - small[key] for key in large}
        each = grown[side]["seconds"] / (many - few) * 1e3
        kib = grown[side]["peak"] / (many - few) * 1024
        print(
            f"{side}: {each:.1f} ms a trial ({large['results'] / many:.1f} results each), driver {kib:.0f} KiB a trial"
        )
    more = (grown["ours"]["seconds"] - grown["stock"]["seconds"]) / (many - few) * 1e3
    ratio = grown["ours"]["seconds"] / grown["stock"]["seconds"]
    print(f"ours against stock: {ratio:.2f}x the time, {more:+.1f} ms a trial, results included")
    with tempfile.TemporaryDirectory() as folder:
        for kind, asks in (("random", 20), ("tpe", 20), ("gp", 2)):
            print(f"ask at {ASKS} trials, {kind}: {ask_times(kind, Path(folder), asks):.1f} ms")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as scratch:
            {"ours": run_ours, "stock": run_stock}[sys.argv[1]](Path(scratch), int(sys.argv[2]))
    else:
        main()
