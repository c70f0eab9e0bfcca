"""A journal that lives in memory, for campaigns that are simulated: it is lost with the process."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from optuna.storages import InMemoryStorage


class MemoryJournal:
    """Stands in for `search.study.journal.backend.Journal`, with Optuna's own storage in memory."""

    def __init__(self) -> None:
        """Begin an empty journal."""
        self.storage = InMemoryStorage()

    def transaction(self, act: Mapping[str, Any]) -> AbstractContextManager[None]:
        """Do nothing: nothing can fail between the lines of a transaction."""
        return nullcontext()

    def last_number(self, key: str, default: float) -> float:
        """Return the default: there was no earlier process."""
        return default

    def close(self) -> None:
        """Do nothing: there is no file."""
