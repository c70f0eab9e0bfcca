"""What the journal costs: our adapters and controller beside stock OptunaSearch and ASHAScheduler, on stub trials.

Both sides run the same stub on the same Ray, a process each: seconds and memory of the driver a trial under ASHA, and
seconds a result of trials that nothing stops. Then the time of an ask at 1,000 trials, a sampler each, and that of a
result at 1,000 and 10,000 trials, without Ray.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import peak
from benchmarks.side import run_side
from benchmarks.stub import stub_trainable

TRIALS, MAX_EPOCHS, GRACE, SLOTS = 1000, 9, 1, 2
LONG_TRIALS, LONG_EPOCHS = 20, 60
ASKS = 1000
RESULTS = 200


def value(config: Mapping[str, Any], epoch: int) -> float:
    """A score that parameters and epoch decide."""
    digest = hashlib.sha256(f"{config['learning_rate']!r}".encode()).hexdigest()
    return int(digest[:6], 16) / 16**6 + 0.01 * epoch


def run_ours(folder: Path, trials: int, max_epochs: int, grace: int) -> None:
    """A campaign of stub trials, as this project runs it."""
    from core import console
    from search.campaign.progress import Display
    from search.cluster.session import ray_session
    from search.engine.ray_engine import run_tuner
    from search.study.controller import Budget, Controller, Rules
    from search.study.settings import StudySettings
    from search.study.space import SpaceConfig
    from search.study.study import CampaignStudy

    settings = StudySettings("bench", SpaceConfig().distributions(), "tpe", "complete", seed=0)
    study = CampaignStudy(folder / "journal.log", settings)
    with ray_session(), console.progress_bar() as bar:
        display = Display(bar, trials)
        controller = Controller(
            study, Rules(max_epochs, grace, 3, SLOTS), Budget(trials), on_epoch=display.epoch, on_end=display.end
        )
        started = time.perf_counter()
        run_tuner(stub_trainable(True, value), {"cpu": 1.0}, controller, folder / "raw" / "bench")
        _tell(started, sum(len(log.epochs) for log in study.trials.values()))


def run_stock(folder: Path, trials: int, max_epochs: int, grace: int) -> None:
    """The same with what Ray brings."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from search.cluster.session import ray_session
    from search.study.samplers import make_sampler
    from search.study.space import SpaceConfig

    space = SpaceConfig().distributions()
    with ray_session():
        started = time.perf_counter()
        results = tune.Tuner(
            tune.with_resources(stub_trainable(False, value), {"cpu": 1.0}),
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(space=space, metric="value", mode="max", sampler=make_sampler("tpe", 0)),
                scheduler=ASHAScheduler(
                    time_attr="epoch", metric="value", mode="max",
                    max_t=max_epochs, grace_period=grace, reduction_factor=3,
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
        fitted = [results[place] for place in range(len(results))]
        _tell(started, sum(result.metrics["epoch"] for result in fitted if result.metrics))


def _tell(started: float, results: int) -> None:
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "results": results, "peak": peak()}))


def _epoch(epoch: int, score: float) -> Any:
    from search.study.trial_record import EpochRecord

    return EpochRecord(
        epoch=epoch, value=score, score=score, best_epoch=epoch, train_loss=1.0, learning_rate=1e-3, seconds=1.0,
        metrics={},
    )  # fmt: skip


def ask_times(kind: Any, folder: Path, asks: int) -> float:
    """Mean milliseconds of some asks when the study holds `ASKS` trials."""
    from search.study.settings import StudySettings
    from search.study.space import SpaceConfig
    from search.study.study import CampaignStudy
    from search.study.trial_record import TrialRecord

    settings = StudySettings("bench", SpaceConfig().distributions(), kind, "complete", seed=0)
    study = CampaignStudy(folder / f"{kind}.log", settings)
    rng = np.random.default_rng(0)
    earlier = []
    for number in range(ASKS):
        params = {
            "learning_rate": float(10 ** rng.uniform(-5, -2.7)), "batch_size": 128, "weight_decay": 0.01,
            "dropout": float(rng.uniform(0, 0.6)), "focal_gamma": 2.0, "mixup_alpha": 0.0,
        }  # fmt: skip
        epochs = {epoch: _epoch(epoch, value(params, epoch)) for epoch in (1, 2)}
        earlier.append(TrialRecord(number, params, "sampler", epochs, 1, "complete"))
    study.add_earlier_trials("filler", earlier)
    seconds = []
    for _ in range(asks):
        started = time.perf_counter()
        study.ask()
        seconds.append(time.perf_counter() - started)
    return sum(seconds) / len(seconds) * 1e3


def result_time(trials: int, folder: Path) -> float:
    """Milliseconds of the driver for a result, without Ray, when the campaign holds some trials: record and display."""
    from core import console
    from search.campaign.progress import Display
    from search.study.controller import Budget, Controller, Rules
    from search.study.settings import StudySettings
    from search.study.space import SpaceConfig
    from search.study.study import CampaignStudy
    from search.study.trial_record import TrialRecord

    settings = StudySettings("bench", SpaceConfig().distributions(), "random", "complete", seed=0)
    study = CampaignStudy(folder / f"{trials}.log", settings)
    with console.progress_bar() as bar:
        running = study.ask()
        epochs = {epoch: _epoch(epoch, 0.1 * epoch) for epoch in (1, 2)}
        ended = {-number: TrialRecord(-number, {}, "sampler", epochs, 1, "stopped") for number in range(1, trials)}
        study.trials = {**ended, running.number: running}
        display = Display(bar, trials, study.trials.values())
        controller = Controller(
            study, Rules(RESULTS + 1, RESULTS + 1, 3, 1), Budget(trials, epochs=10**9), on_epoch=display.epoch
        )
        started = time.perf_counter()
        for epoch in range(1, RESULTS + 1):
            controller.on_report(running.number, _epoch(epoch, 0.5))
            controller.next_trial()
        return (time.perf_counter() - started) / RESULTS * 1e3


def _child(side: str, trials: int, max_epochs: int = MAX_EPOCHS, grace: int = GRACE) -> dict[str, float]:
    measured: dict[str, float] = run_side("benchmarks.search", side, str(trials), str(max_epochs), str(grace))
    return measured


def _grown(small: dict[str, float], large: dict[str, float]) -> dict[str, float]:
    return {key: large[key] - small[key] for key in large}


def main() -> None:
    """Print a line a side, the differences, and the asks."""
    few, many = TRIALS // 10, TRIALS
    trial, result = {}, {}
    for side in ("stock", "ours"):
        grown = _grown(_child(side, few), _child(side, many))
        trial[side] = grown["seconds"] / (many - few) * 1e3
        kib = grown["peak"] / (many - few) * 1024
        results = grown["results"] / (many - few)
        print(f"{side}: {trial[side]:.1f} ms a trial ({results:.1f} results each), driver {kib:.0f} KiB a trial")
        short = LONG_EPOCHS // 10
        grown = _grown(_child(side, LONG_TRIALS, short, short), _child(side, LONG_TRIALS, LONG_EPOCHS, LONG_EPOCHS))
        result[side] = grown["seconds"] / grown["results"] * 1e3
        print(f"{side}: {result[side]:.2f} ms a result of a long trial")
    for unit, milliseconds in (("trial, its results included", trial), ("result", result)):
        ratio, difference = milliseconds["ours"] / milliseconds["stock"], milliseconds["ours"] - milliseconds["stock"]
        print(f"ours against stock: {ratio:.2f}x the time, {difference:+.2f} ms per {unit}")
    with tempfile.TemporaryDirectory() as folder:
        for kind, asks in (("random", 20), ("tpe", 20), ("gp", 2)):
            print(f"ask at {ASKS} trials, {kind}: {ask_times(kind, Path(folder), asks):.1f} ms")
        few_trials, many_trials = (result_time(trials, Path(folder)) for trials in (TRIALS, 10 * TRIALS))
        print(
            f"record and display of a result: {few_trials:.2f} ms at {TRIALS} trials, {many_trials:.2f} ms at ten times"
        )
        print(f"ten times the trials: {many_trials / few_trials:.2f}x the time a result")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as scratch:
            {"ours": run_ours, "stock": run_stock}[sys.argv[1]](Path(scratch), *map(int, sys.argv[2:]))
    else:
        main()
