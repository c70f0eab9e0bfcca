"""Draws the rows that each epoch of a training reads.

Shapes: N train rows, M rows of an epoch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.config import TrainingConfig
from core.data.dataset import Dataset
from core.errors import ConfigError
from core.training.class_balance import oversample
from core.training.device import shared_tensor


class EpochRows:
    """Draws the rows of one epoch after another, in random order and without replacement.

    An epoch reads all train rows, or a part of them: then as many epochs as it takes to read all of them once make a
    cycle, with equally many rows in each, and the next cycle has another order. Where the recipe oversamples, a cycle
    reads rows of the rarer classes several times.
    """

    def __init__(self, dataset: Dataset, config: TrainingConfig, seeds: tuple[int, int], device: torch.device) -> None:
        """Begin before the first epoch.

        Args:
            dataset: holds the train rows and their labels.
            config: the recipe, of which the largest number of windows in an epoch and oversampling count.
            seeds: seeds of the order and of oversampling.
            device: device that the rows lie on.

        Raises:
            ConfigError: a batch is larger than an epoch.
        """
        largest, batch_size = config.trainer.epoch_windows, config.trainer.batch_size
        if largest is not None and largest < batch_size:
            raise ConfigError(
                f"A batch of {batch_size} is larger than an epoch of {largest} windows",
                "Use a smaller batch size, or a larger epoch_windows",
            )
        self.train = shared_tensor(dataset.train, device)
        self._dataset = dataset
        self._oversamples = config.balance.oversample
        self._largest = largest
        self._order_generator = torch.Generator(device).manual_seed(seeds[0])
        self._balance_rng = np.random.default_rng(seeds[1])
        self._cycle: tuple[Tensor, ...] = ()
        self._drawn = 0  # epochs of the present cycle
        self._start = self._random_state()

    def draw(self) -> Tensor:
        """Return the rows of the next epoch, int64 `[M]`."""
        if self._drawn == len(self._cycle):
            self._begin_cycle()
        self._drawn += 1
        return self._cycle[self._drawn - 1]

    def _begin_cycle(self) -> None:
        """Draw the order of the rows of a cycle, and divide it among its epochs."""
        self._start, self._drawn = self._random_state(), 0
        rows = self.train
        if self._oversamples:
            labels = self._dataset.labels[self._dataset.train]
            drawn = oversample(self._dataset.train, labels, self._balance_rng)
            rows = torch.from_numpy(drawn).to(self.train.device)
        order = rows[torch.randperm(len(rows), generator=self._order_generator, device=rows.device)]
        epochs = math.ceil(len(order) / self._largest) if self._largest else 1
        self._cycle = torch.tensor_split(order, epochs)

    def _random_state(self) -> dict[str, Any]:
        return {"order": self._order_generator.get_state(), "balance": self._balance_rng.bit_generator.state}

    def state_dict(self) -> dict[str, Any]:
        """Return what the rows of later epochs depend on: the random state before the cycle, and its epochs so far."""
        if self._drawn == len(self._cycle):
            return {**self._random_state(), "drawn": 0}
        return {**self._start, "drawn": self._drawn}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state after an epoch, see `state_dict`."""
        self._order_generator.set_state(state["order"])
        self._balance_rng.bit_generator.state = state["balance"]
        self._cycle, self._drawn = (), 0
        if state["drawn"]:
            self._begin_cycle()
            self._drawn = state["drawn"]
