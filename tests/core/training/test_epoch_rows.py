from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from core.config import BalanceConfig
from core.data.dataset import Dataset
from core.errors import ConfigError
from core.training.epoch_rows import EpochRows
from tests.helpers.market import cut, recipe

CPU = torch.device("cpu")


def _rows(dataset: Dataset, windows: int | None, seed: int = 0, oversample: bool = False) -> EpochRows:
    config = recipe(epoch_windows=windows, batch_size=8)
    if oversample:
        config = config.model_copy(update={"balance": BalanceConfig(class_weights="none", oversample=True)})
    return EpochRows(dataset, config, (seed, 1), CPU)


@pytest.mark.parametrize("windows", [None, 100, 1000])
def test_an_epoch_reads_all_rows_where_no_part_of_them_is_asked_for(dataset: Dataset, windows: int | None) -> None:
    rows = _rows(cut(dataset, 100), windows)
    first, second = rows.draw(), rows.draw()
    for drawn in (first, second):
        assert sorted(drawn.tolist()) == dataset.train[:100].tolist()
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("windows", "sizes"), [(50, [50, 50]), (99, [50, 50]), (40, [34, 33, 33]), (8, [8] * 9 + [7] * 4)]
)
def test_epochs_of_one_cycle_share_all_rows_without_replacement(
    dataset: Dataset, windows: int, sizes: list[int]
) -> None:
    rows = _rows(cut(dataset, 100), windows)
    cycles = [[rows.draw() for _ in sizes] for _ in range(3)]
    for cycle in cycles:
        assert [len(drawn) for drawn in cycle] == sizes
        assert sorted(torch.cat(cycle).tolist()) == dataset.train[:100].tolist()
    assert len({tuple(torch.cat(cycle).tolist()) for cycle in cycles}) == 3


@pytest.mark.parametrize("oversample", [False, True])
@pytest.mark.parametrize("windows", [None, 40])
def test_a_restored_state_draws_the_same_rows(dataset: Dataset, windows: int | None, oversample: bool) -> None:
    rows = _rows(cut(dataset, 100), windows, oversample=oversample)
    for _ in range(8):
        restored = _rows(cut(dataset, 100), windows, seed=9, oversample=oversample)
        restored.load_state_dict(rows.state_dict())
        for _ in range(5):  # into the next cycle, which the restored generator orders
            ahead = _rows(cut(dataset, 100), windows, seed=8, oversample=oversample)
            ahead.load_state_dict(restored.state_dict())
            assert torch.equal(ahead.draw(), restored.draw())
        restored.load_state_dict(rows.state_dict())
        assert torch.equal(restored.draw(), rows.draw())


def test_a_cycle_of_oversampled_rows_has_equally_many_of_each_class(dataset: Dataset) -> None:
    rows = _rows(cut(dataset, 200), 100, oversample=True)
    epochs = -(-3 * int(np.bincount(dataset.labels[dataset.train[:200]]).max()) // 100)
    drawn = torch.cat([rows.draw() for _ in range(epochs)])
    assert len(set(np.bincount(dataset.labels[drawn]).tolist())) == 1


def test_a_batch_larger_than_an_epoch_is_refused(dataset: Dataset) -> None:
    config: Any = recipe(epoch_windows=63, batch_size=64)
    with pytest.raises(ConfigError, match="A batch of 64 is larger than an epoch of 63 windows"):
        EpochRows(dataset, config, (0, 1), CPU)
