"""Ray's searcher over the book: gives the trial that comes next, a resumed one first."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from search.book import Book


class BookSearcher(Searcher):
    """Asks the book. It is never restored: a campaign resumes from its journal."""

    def __init__(self, book: Book) -> None:
        """Share the book with the scheduler."""
        super().__init__()
        self._book = book
        self._started: dict[str, tuple[int, int]] = {}  # number and attempt, by Ray's id

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles searchers into its own record, which is thrown away."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """Parameters of the next trial, None to wait, FINISHED at the end."""
        log = self._book.next()
        if log == "finished":
            return Searcher.FINISHED
        if log == "wait":
            return None
        assert not isinstance(log, str)
        self._started[trial_id] = log.number, log.fence
        return {**log.params, "number": log.number, "attempt": log.fence, "last_epoch": log.last_epoch}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Take note that the trial runs no more; how it ended is in the book already, unless its process died."""
        if trial_id in self._started:
            self._book.left(*self._started.pop(trial_id))

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the journal is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: a state of Tune's would lag behind the journal."""
        raise RuntimeError("a campaign is resumed from its journal, not from Tune's state")
