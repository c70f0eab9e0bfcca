"""Ray Tune, as a campaign uses it: trials that a book decides over."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import OutOfMemoryError, RayError

from search.book import Book
from search.gate import gated
from search.progress import Ticker
from search.results import first_line
from search.scheduler import BookScheduler
from search.searcher import BookSearcher


def run_trials(
    trainable: Any,
    resources: dict[str, float],
    book: Book,
    raw: Path,
    on_step: Callable[[], None] = lambda: None,
    processes: int = 1,
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
        processes: how many of trials there will be soon; they begin together.
    """
    # Without it Tune asks for one process at a time: no cluster grows by that, and no gate fills.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(book.concurrency)
    for start in count():
        try:
            _tuner(gated(trainable, processes), resources, book, raw / str(start), on_step).fit()
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
            callbacks=[Ticker(on_step, book.is_over)],
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
