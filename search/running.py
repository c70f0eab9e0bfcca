"""Ray Tune, as a campaign uses it: a cluster for as long as it is needed, and trials that a book decides over."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.exceptions import OutOfMemoryError, RayError

from core.device import resolve_device
from search.book import Book
from search.config import CampaignConfig
from search.progress import Ticker
from search.results import first_line
from search.scheduler import BookScheduler
from search.searcher import BookSearcher


def concurrency(config: CampaignConfig) -> int:
    """Trainings at a time that this machine has room for."""
    slots = (os.cpu_count() or 1) // config.cpus_per_trial
    if resolve_device(config.device).type == "cuda":
        slots = min(slots, int(torch.cuda.device_count() / config.gpus_per_trial))
    return min(max(slots, 1), config.concurrency or slots)


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
    before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        ray.shutdown()


def _as_interrupt(*_: Any) -> None:
    """Do what Ctrl-C does; shells let their background jobs ignore that, but an end is an end."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def run_trials(
    trainable: Any, resources: dict[str, float], book: Book, raw: Path, on_step: Callable[[], None] = lambda: None
) -> None:
    """Hand the trials to Ray Tune and wait until the book has no more of them.

    Tune itself does not survive every death of a trial's process: when Ray kills one for want of memory, the call fails
    with an error that Tune does not expect. The journal knows where all trials are; a new Tuner goes on from there.

    Args:
        trainable: a class like `search.trial.TrainingTrial`.
        resources: of one trial.
        book: decides over all.
        raw: folder for what Tune itself writes, of use to nobody.
        on_step: called often.
    """
    for start in count():
        try:
            _tuner(trainable, resources, book, raw / str(start), on_step).fit()
            return
        except RuntimeError as error:
            if not isinstance(error.__cause__, RayError):
                raise
            book.all_died(first_line(error.__cause__), no_room=isinstance(error.__cause__, OutOfMemoryError))


def _tuner(
    trainable: Any, resources: dict[str, float], book: Book, raw: Path, on_step: Callable[[], None]
) -> tune.Tuner:
    return tune.Tuner(
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
