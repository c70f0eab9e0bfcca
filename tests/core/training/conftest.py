from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch

from core.data.dataset import Dataset
from core.evaluation.history import EpochResult
from core.training.trainer import Trainer
from tests.helpers.market import cut

Scripted = Callable[[Sequence[float]], None]


@pytest.fixture(scope="module")
def short(dataset: Dataset) -> Dataset:
    """Return a dataset of three batches per epoch."""
    return cut(dataset, train=160, val=200)


def rows_of(results: Sequence[EpochResult]) -> list[dict[str, Any]]:
    """Return what must repeat exactly: everything but the time it took."""
    return [result.as_row() | {"seconds": None} for result in results]


def same_weights(first: Trainer, second: Trainer) -> bool:
    a, b = first.model.state_dict(), second.model.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Return a function that sets the ranking metric of each epoch."""

    def script(scores: Sequence[float]) -> None:
        upcoming: Iterator[float] = iter(scores)

        def evaluate(dataset: Any, rows: Any, probabilities: Any, decisions: Any, names: Sequence[str]) -> Any:
            if "accuracy" not in names:  # the halves of val, which choose nothing here
                return dict.fromkeys(names, 0.0)
            return {"macro_f1": next(upcoming), "nll": 1.0}

        monkeypatch.setattr("core.training.trainer.evaluate_rows", evaluate)

    return script
