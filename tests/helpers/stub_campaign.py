"""Campaigns of trials that train nothing, on real Ray: `python -m tests.helpers.stub_campaign FOLDER TRIALS`.

The chaos tests run them, kill them, and run them again; each run continues where the journal ends. `--strategy` names
how trials are judged. The trial with the number that `--greedy` names takes memory until its process is killed,
whenever it is started.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from search.cluster.session import ray_session
from search.engine.ray_engine import run_tuner
from search.study.asha import rung_epochs
from search.study.controller import Budget, Controller, Rules
from search.study.settings import StudySettings
from search.study.space import SpaceConfig
from search.study.study import CampaignStudy
from tests.helpers.trial_records import epoch_record

SETTINGS = StudySettings("stub", SpaceConfig().distributions(), "tpe", "complete", seed=1)
RULES = Rules(max_epochs=9, grace=1, reduction=3, concurrency=2, attempts=8)
STRATEGIES = {
    "stopping": RULES,
    "promotion": replace(RULES, variant="promotion"),
    "cells": replace(RULES, variant="promotion", averages=True),
}
"""The rules of each strategy by its name: of `cells`, an epoch is a cell, and the value of a trial their mean."""
TRAINED_FILE = "trained"
"""Has a line for each cell that a process has begun to train: numbers of the trial, of the attempt and of the cell."""
EPOCH_SECONDS = 0.02
CONCURRENCY_FILE = "concurrency"
"""Holds the number of trials that ran at a time in the end."""


def settings_of(strategy: str) -> StudySettings:
    """Return the settings of the study of a strategy."""
    rules = STRATEGIES[strategy]
    if rules.variant == "stopping":
        return SETTINGS
    return replace(SETTINGS, policy="pruned", pauses=rung_epochs(rules.grace, rules.reduction, rules.max_epochs))


def value(config: dict[str, Any], epoch: int) -> float:
    """Return a score that depends on hyperparameters and epoch alone."""
    noise = int(hashlib.sha256(f"{config['learning_rate']!r}".encode()).hexdigest()[:6], 16) / 16**6
    return 0.5 - 0.1 * abs(math.log10(config["learning_rate"]) + 3.5) + 0.01 * epoch + 0.05 * noise


class StubTrial(tune.Trainable):
    """Reports its score; continues from the last epoch of the journal, as a real trial from its checkpoint."""

    def setup(self, config: dict[str, Any]) -> None:
        """Begin the first trial."""
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        self.assignment = new_config["assignment"]
        # A real trial may have to run some epochs again.
        self.epoch = max(self.assignment.last_epoch - 1, 0)
        return True

    def step(self) -> dict[str, Any]:
        """Report one epoch."""
        time.sleep(EPOCH_SECONDS)
        self.epoch += 1
        return {"report": epoch_record(self.epoch, value(self.assignment.params, self.epoch))}


class CellsTrial(StubTrial):
    """Reports a cell in every step, from the one after the last of the journal, and notes which it begins to train."""

    def setup(self, config: dict[str, Any], folder: Path) -> None:  # type: ignore[override]
        """Begin the first trial; what is trained is noted in the folder."""
        self.folder = folder
        super().setup(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in the same process."""
        super().reset_config(new_config)
        self.epoch = self.assignment.last_epoch
        return True

    def step(self) -> dict[str, Any]:
        """Report one cell."""
        with (self.folder / TRAINED_FILE).open("a") as file:
            file.write(f"{self.assignment.number} {self.assignment.attempt_id} {self.epoch + 1}\n")
        return super().step()


class GreedyTrial(StubTrial):
    """A trial that takes memory without end if it has a certain number."""

    def setup(self, config: dict[str, Any], greedy: int) -> None:  # type: ignore[override]
        """Begin the first trial; the trial with the number `greedy` will take memory."""
        self.greedy = greedy
        super().setup(config)

    def step(self) -> dict[str, Any]:
        """Report one epoch, unless this is the trial that takes memory."""
        arrays = []
        while self.assignment.number == self.greedy:
            arrays.append(np.ones(2**24))
            time.sleep(EPOCH_SECONDS)
        return super().step()


def main(folder: Path, trials: int, strategy: str, greedy: int | None) -> None:
    """Run the campaign, or continue it.

    Args:
        folder: folder of the journal.
        trials: number of trials.
        strategy: how trials are judged, one of `STRATEGIES`.
        greedy: number of the trial that takes memory; None for none.
    """
    trainable = StubTrial if greedy is None else tune.with_parameters(GreedyTrial, greedy=greedy)
    if strategy == "cells":
        trainable = tune.with_parameters(CellsTrial, folder=folder)
    study = CampaignStudy(folder / "journal.log", settings_of(strategy))
    rules = STRATEGIES[strategy] if greedy is None else replace(RULES, attempts=3)
    controller = Controller(study, rules, Budget(trials))
    with ray_session():
        run_tuner(trainable, {"cpu": 1.0}, controller, folder / "raw" / str(os.getpid()))
    assert controller.failure is None, controller.failure
    assert not any(trial.differences for trial in study.trials.values())
    (folder / CONCURRENCY_FILE).write_text(str(controller.concurrency))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("trials", type=int)
    parser.add_argument("--strategy", choices=STRATEGIES, default="stopping")
    parser.add_argument("--greedy", type=int)
    main(**vars(parser.parse_args()))
