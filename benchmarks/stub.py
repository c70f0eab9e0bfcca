"""A trial that trains nothing, on both sides of a benchmark: it reports a score, perhaps after a sleep."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Score = Callable[[Mapping[str, Any], int], float]


def stub_trainable(ours: bool, score: Score, seconds: float = 0.0, notes: Path | None = None) -> Any:
    """Return a trainable class for Ray Tune.

    Args:
        ours: whether results are reports for our scheduler, and no plain metrics for Ray's own.
        score: gives the score of an epoch from the hyperparameters and the epoch's number.
        seconds: how long an epoch sleeps.
        notes: folder in which each process notes when its epochs began and ended; nothing is noted without one.
    """
    from ray import tune

    from search.study.trial_record import EpochRecord  # of all of search, a stub's process loads no more than this

    class Stub(tune.Trainable):
        """Reports a score."""

        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.params = new_config["assignment"].params if ours else new_config
            self.epoch = 0
            return True

        def step(self) -> dict[str, Any]:
            began = time.time()
            time.sleep(seconds)
            self.epoch += 1
            if notes is not None:
                with open(f"{notes}/{os.getpid()}", "a") as file:  # noqa: PTH123
                    file.write(f"{began} {time.time()} {self.epoch}\n")
            value = score(self.params, self.epoch)
            if not ours:
                return {"epoch": self.epoch, "value": value}
            record = EpochRecord(
                epoch=self.epoch, value=value, score=value, best_epoch=self.epoch, train_loss=1.0,
                learning_rate=1e-3, seconds=seconds, metrics={},
            )  # fmt: skip
            return {"report": record}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Save nothing; without this method Ray would not reuse processes."""

    return Stub
