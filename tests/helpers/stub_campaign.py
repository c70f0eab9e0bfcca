"""Campaigns of trials that train nothing, on real Ray: `python -m tests.helpers.stub_campaign FOLDER TRIALS [GREEDY]`.

They are run, killed, and run again by the chaos tests; each run goes on where the journal ends. The trial of
the number GREEDY takes memory, the first time that it is started, until it is killed for it.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from search.cluster.session import ray_session
from search.engine.ray_engine import run_tuner
from search.study.controller import Budget, Controller, Rules
from search.study.settings import StudySettings
from search.study.space import SpaceConfig
from search.study.study import CampaignStudy
from tests.helpers.trial_records import epoch_record

SETTINGS = StudySettings("stub", SpaceConfig().distributions(), "tpe", "complete", seed=1)
RULES = Rules(max_epochs=9, grace=1, reduction=3, concurrency=2, attempts=8)
EPOCH_SECONDS = 0.02
CONCURRENCY_FILE = "concurrency"
"""Says how many trials at a time there were in the end."""


def value(config: dict[str, Any], epoch: int) -> float:
    """A score that parameters and epoch alone decide."""
    noise = int(hashlib.sha256(f"{config['learning_rate']!r}".encode()).hexdigest()[:6], 16) / 16**6
    return 0.5 - 0.1 * abs(math.log10(config["learning_rate"]) + 3.5) + 0.01 * epoch + 0.05 * noise


class StubTrial(tune.Trainable):
    """Reports its score. It goes on from the last epoch that the journal knows, as a real one from its checkpoint."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another trial."""
        self.asked = new_config["assignment"]
        # A real one may have to run some epochs again.
        self.epoch = max(self.asked.last_epoch - 1, 0)
        return True

    def step(self) -> dict[str, Any]:
        """One epoch."""
        time.sleep(EPOCH_SECONDS)
        self.epoch += 1
        return {"report": epoch_record(self.epoch, value(self.asked.params, self.epoch))}


class GreedyTrial(StubTrial):
    """One of them takes memory without end."""

    def setup(self, config: dict[str, Any], greedy: int) -> None:  # type: ignore[override]
        """Begin."""
        self.greedy = greedy
        super().setup(config)

    def step(self) -> dict[str, Any]:
        """One epoch, if it comes to that."""
        held = []
        while self.asked.number == self.greedy and self.asked.attempt_id == 1:
            held.append(np.ones(2**24))
            time.sleep(EPOCH_SECONDS)
        return super().step()


def main(folder: Path, trials: int, greedy: int | None = None) -> None:
    """Run, or go on."""
    trainable = StubTrial if greedy is None else tune.with_parameters(GreedyTrial, greedy=greedy)
    study = CampaignStudy(folder / "journal.log", SETTINGS)
    controller = Controller(study, RULES, Budget(trials))
    with ray_session():
        run_tuner(trainable, {"cpu": 1.0}, controller, folder / "raw" / str(os.getpid()))
    assert controller.failure is None, controller.failure
    assert not any(log.differences for log in study.trials.values())
    (folder / CONCURRENCY_FILE).write_text(str(controller.concurrency))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
