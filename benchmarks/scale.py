"""Many workers and short trials: how busy our campaign keeps them, beside stock Tune with ASHA.

Both sides run the same stub on the same Ray, a process each: 64 logical workers, 1,000 trials whose epochs take a
second, so that one which ASHA stops at its first rung takes one. Utilisation is the share of the workers' time in which
an epoch ran: from when as many were at work as ever were (what comes before is the ramp) to when the last trial began.
"""

from __future__ import annotations

import json
import os
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

WORKERS, TRIALS, EPOCH_SECONDS = 64, 1000, 1.0
MAX_EPOCHS, GRACE, REDUCTION = 9, 1, 3


def _score(params: Mapping[str, Any], epoch: int) -> float:
    return float(0.01 * epoch + params["dropout"])


def _resources() -> dict[str, float]:
    """Of a worker: the machine's cores, shared by all."""
    return {"cpu": (os.cpu_count() or 1) / WORKERS}


def run_ours(folder: Path, trials: int, sampler: str) -> None:
    """A campaign of stub trials, as this project runs it."""
    from search.cluster.session import ray_session
    from search.engine.ray_engine import run_tuner
    from search.study.controller import Budget, Controller, Rules
    from search.study.settings import StudySettings
    from search.study.space import SpaceConfig
    from search.study.study import CampaignStudy

    settings = StudySettings("bench", SpaceConfig().distributions(), sampler, "complete", seed=0)  # type: ignore[arg-type]
    study = CampaignStudy(folder / "journal.log", settings)
    controller = Controller(study, Rules(MAX_EPOCHS, GRACE, REDUCTION, WORKERS), Budget(trials))
    with ray_session():
        trainable = stub_trainable(True, _score, EPOCH_SECONDS, folder / "notes")
        run_tuner(trainable, _resources(), controller, folder / "raw" / "bench", starting=WORKERS)
    assert controller.failure is None, controller.failure


def run_stock(folder: Path, trials: int, sampler: str) -> None:
    """The same with what Ray brings."""
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from search.cluster.session import ray_session
    from search.study.samplers import make_sampler
    from search.study.space import SpaceConfig

    space = SpaceConfig().distributions()
    with ray_session():
        tune.Tuner(
            tune.with_resources(stub_trainable(False, _score, EPOCH_SECONDS, folder / "notes"), _resources()),
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(
                    space=space, metric="value", mode="max", sampler=make_sampler(sampler, 0)  # type: ignore[arg-type]
                ),
                scheduler=ASHAScheduler(
                    time_attr="epoch", metric="value", mode="max",
                    max_t=MAX_EPOCHS, grace_period=GRACE, reduction_factor=REDUCTION,
                ),
                num_samples=trials,
                max_concurrent_trials=WORKERS,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="bench", storage_path=str(folder), verbose=0,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        ).fit()  # fmt: skip


def measure(notes: Path, began: float) -> dict[str, float]:
    """Compute the figures of a side from the notes that its workers wrote.

    Args:
        notes: a file a worker: begin, end and number of each epoch that it ran.
        began: when the side was started.
    """
    spans = np.array([line.split() for file in notes.iterdir() for line in file.read_text().splitlines()], dtype=float)
    starts, ends, epochs = spans.T
    edges = np.concatenate([starts, ends])
    order = np.argsort(edges, kind="stable")
    working = np.cumsum(np.concatenate([np.ones(len(starts)), -np.ones(len(ends))])[order])
    # Between two epochs a worker is idle for an instant: nearly all at work is all.
    up = edges[order][np.argmax(working >= 0.95 * working.max())]
    last = starts[epochs == 1].max()
    busy = np.clip(np.minimum(ends, last) - np.maximum(starts, up), 0, None).sum()
    within = (ends > up) & (ends <= last)
    figures = {
        "workers": len(list(notes.iterdir())),
        "ramp": up - began,
        "steady": last - up,
        "utilisation": busy / (WORKERS * (last - up)),
        "results": within.sum() / (last - up),
        "trials": (epochs == 1).sum(),
        "all": ends.max() - began,
    }
    return {name: float(value) for name, value in figures.items()}


def _child(side: str, trials: int, sampler: str) -> dict[str, float]:
    measured: dict[str, float] = run_side("benchmarks.scale", side, str(trials), sampler)
    return measured


def main(trials: int = TRIALS, sampler: str = "tpe") -> None:
    """Print a line a side, and the ratio."""
    measured = {}
    for side in ("stock", "ours"):
        row = measured[side] = _child(side, trials, sampler)
        print(
            f"{side}: {row['utilisation']:.0%} of {WORKERS} workers busy for {row['steady']:.0f} s, after a ramp of "
            f"{row['ramp']:.0f} s; {row['workers']:.0f} processes ever worked, {row['results']:.0f} results/s, "
            f"{row['trials']:.0f} trials in {row['all']:.0f} s, driver {row['peak']:.0f} MiB at its peak"
        )
    ours, stock = measured["ours"], measured["stock"]
    print(
        f"ours against stock: {ours['utilisation'] / stock['utilisation']:.1f}x as busy, "
        f"{stock['all'] / ours['all']:.2f}x as fast over all"
    )


if __name__ == "__main__":
    if sys.argv[1:2] in (["ours"], ["stock"]):
        with tempfile.TemporaryDirectory() as scratch:
            Path(scratch, "notes").mkdir()
            began = time.time()
            {"ours": run_ours, "stock": run_stock}[sys.argv[1]](Path(scratch), int(sys.argv[2]), sys.argv[3])
            print(json.dumps({**measure(Path(scratch, "notes"), began), "peak": peak()}))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else TRIALS, *sys.argv[2:3])
