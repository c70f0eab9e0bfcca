"""Ray's scheduler over the book: each result is written down and decided on before Ray acts on it."""

from __future__ import annotations

import json
from typing import Any

from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.book import Book
from search.results import first_line
from search.trial import FAILED, NO_ROOM, NO_STORAGE, UNFIT


class BookScheduler(FIFOScheduler):
    """Stops what the book ends. Results never say `done`, which would pass scheduler and searcher by."""

    def __init__(self, book: Book) -> None:
        """Share the book with the searcher."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._book = book

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles schedulers into its own record, which is thrown away."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Write down, decide, answer."""
        number = trial.config["number"]
        if result["outcome"] == FAILED:
            self._book.failed(number, result["reason"])
            return str(TrialScheduler.STOP)
        if result["outcome"] == NO_ROOM:
            self._book.out_of_memory(number, result["reason"])
            return str(TrialScheduler.STOP)
        if result["outcome"] == NO_STORAGE:
            self._book.no_storage(number, result["reason"])
            return str(TrialScheduler.STOP)
        if result["outcome"] == UNFIT:
            self._book.unfit(result["reason"])
            return str(TrialScheduler.STOP)
        action = self._book.result(number, json.loads(result["row"]))
        return str(TrialScheduler.STOP if action == "stop" else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """The trial's process or node is gone."""
        error = trial.get_error()
        reason = first_line(error)
        number = trial.config["number"]
        if isinstance(error, OutOfMemoryError) or (isinstance(error, RayActorError) and "memory" in reason.lower()):
            self._book.out_of_memory(number, reason)
        else:
            self._book.died(number, reason)
