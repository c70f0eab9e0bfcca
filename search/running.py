"""Ray Tune, as a campaign uses it: a cluster for as long as it is needed, and trials that a book decides over."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray import tune

from search.book import Book
from search.progress import Ticker
from search.scheduler import BookScheduler
from search.searcher import BookSearcher


@contextmanager
def ray_session() -> Iterator[None]:
    """A Ray cluster of this machine alone, for as long as the block lasts."""
    # Tune's own tables, log files and per-trial loggers would only repeat what is recorded here.
    os.environ.update(
        RAY_AIR_NEW_OUTPUT="0", TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1", TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S="0"
    )
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
    )
    # Being told to end is as good as Ctrl-C: what had ended is kept.
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        ray.shutdown()


def run_trials(
    trainable: Any, resources: dict[str, float], book: Book, raw: Path, on_step: Callable[[], None] = lambda: None
) -> None:
    """Hand the trials to Ray Tune and wait until the book has no more of them.

    Args:
        trainable: a class like `search.trial.TrainingTrial`.
        resources: of one trial.
        book: decides over all.
        raw: folder for what Tune itself writes, of use to nobody.
        on_step: called often.
    """
    tuner = tune.Tuner(
        tune.with_resources(trainable, resources),
        tune_config=tune.TuneConfig(
            search_alg=BookSearcher(book),
            scheduler=BookScheduler(book),
            num_samples=-1,  # the book knows when there are enough
            reuse_actors=True,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=raw.name,
            storage_path=str(raw.parent),
            callbacks=[Ticker(on_step)],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()
