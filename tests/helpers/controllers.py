"""Controllers of trials that are not trained: the test reports their epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from search.study.controller import Budget, Controller, Rules
from search.study.settings import StudySettings
from search.study.space import SpaceConfig
from search.study.study import CampaignStudy
from search.study.trial_record import TrialRecord
from tests.helpers.trial_records import epoch_record

RULES = Rules(max_epochs=4, grace=1, reduction=2, concurrency=2)
SETTINGS = StudySettings("c", SpaceConfig().distributions(), "random", "complete", seed=0)


class ControllerFactory:
    """Opens controllers over one journal, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.study: CampaignStudy | None = None
        self.ended: list[TrialRecord] = []
        self.now = 0.0

    def open(self, rules: Rules = RULES, budget: Budget | None = None, **more: Any) -> Controller:
        if self.study is not None:
            self.study.close()
        self.study = CampaignStudy(self.path, SETTINGS, clock=lambda: self.now)
        return Controller(self.study, rules, budget or Budget(trials=6), on_end=self.ended.append, **more)


def start_trial(controller: Controller) -> int:
    trial = controller.next_trial()
    assert isinstance(trial, TrialRecord), trial
    return trial.number


def report_values(controller: Controller, number: int, *values: float) -> list[str]:
    first = controller.study.trials[number].last_epoch + 1
    return [controller.on_report(number, epoch_record(epoch, value)) for epoch, value in enumerate(values, start=first)]
