"""Trials that pause at rungs, by epochs and by cells, on real Ray: the engine in this process gives the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.config import DataConfig, SyntheticConfig
from search.campaign.plan import plan_campaign, plan_resume
from search.campaign.run import resume_campaign, run_campaign
from search.cluster.session import ray_session
from search.config import CampaignConfig, CellsConfig
from search.engine.in_process import InProcessEngine
from search.engine.job import TrialJob
from search.engine.ray_engine import RayEngine
from search.results.folder import (
    CURVES_FILE,
    PREDICTIONS_FILE,
    RETURNS_FILE,
    TRIALS_FILE,
    CampaignFolder,
)
from search.study.controller import Controller
from search.study.rungs import Rungs
from search.study.space import Choice, SpaceConfig
from search.study.trial_record import TrialRecord
from tests.helpers.processes import environment, owned, processes_of

CONFIG = CampaignConfig(
    name="whole",
    data=DataConfig(synthetic=SyntheticConfig(bars=4500), window=8),
    trials=5,
    max_epochs=4,
    grace=1,
    reduction=2,
    asha="promotion",
    policy="pruned",
    ask=(),
    sampler="tpe",
    model="quick",
    space=SpaceConfig(batch_size=Choice(values=(256,))),
    device="cpu",
    concurrency=1,
)
STRATEGIES = {
    "epochs": CONFIG,
    "cells": CONFIG.model_copy(update={"max_epochs": 1, "cells": CellsConfig(folds=2, seeds=2)}),
}


@pytest.fixture(scope="module", autouse=True)
def ray_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One local cluster for all tests here: starting one takes seconds. Its processes are known by the folder."""
    with owned(tmp_path_factory.mktemp("ray")) as folder, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder).items():
            patch.setenv(name, value)
        with ray_session():
            yield folder


class Watched(RayEngine):
    """Notes what trial processes report, how many of these processes there are, and may ask the campaign to stop."""

    def __init__(self, folder: Path, stop: Callable[[list[str]], bool] = lambda _: False) -> None:
        """Prepare the engine.

        Args:
            folder: the folder by which the processes of the cluster are known.
            stop: returns whether the campaign is to stop, from what the controller has answered so far.
        """
        self.reported: list[tuple[int, int]] = []  # trial and epoch
        self.processes: list[int] = []
        self._folder = folder
        self._answers: list[str] = []
        self._stop = stop

    def run_trials(self, job: TrialJob, dataset: Any, controller: Controller, *rest: Any) -> None:
        on_report = controller.on_report

        def watched(number: int, report: Any) -> Any:
            self.reported.append((number, report.epoch))
            self.processes.append(_trial_processes(self._folder))
            self._answers.append(on_report(number, report))
            return self._answers[-1]

        controller.on_report = watched  # type: ignore[method-assign]
        controller.stop_requested = lambda: self._stop(self._answers)
        super().run_trials(job, dataset, controller, *rest)


def _trial_processes(folder: Path) -> int:
    """Count the processes that hold a trial; Ray names a worker after what it holds, and while it works otherwise."""
    names = [" ".join(process.cmdline()) for process in processes_of(folder)]
    return sum(name.startswith(("ray::TrainingTrial", "ray::ResourceTrainable")) for name in names)


def _paused(folder: CampaignFolder, config: CampaignConfig) -> dict[int, TrialRecord]:
    """Return the paused trials of a campaign, by number, as its journal has them."""
    trials = folder.read_journal()
    rungs = Rungs(config.rungs, config.reduction, config.asha, trials)
    return {trial.number: trial for trial in trials if trial.number in rungs.paused}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_stopped_and_resumed_on_ray_it_gives_what_the_engine_in_this_process_gives(
    strategy: str, tmp_path: Path, ray_folder: Path
) -> None:
    config = STRATEGIES[strategy]
    run_campaign(plan_campaign(config, tmp_path), InProcessEngine())

    first = Watched(ray_folder, stop=lambda answers: answers.count("pause") >= 2)
    plan = plan_campaign(config.model_copy(update={"name": "stopped"}), tmp_path)
    assert run_campaign(plan, first).unfinished
    stopped = CampaignFolder(tmp_path / "stopped")
    paused = _paused(stopped, config)
    assert len(paused) == len(stopped.read_journal()) == 2  # the second began in the process of the first

    second = Watched(ray_folder)
    assert resume_campaign(plan_resume("stopped", tmp_path, None, None), second).ended_by == "trials"
    # No epoch of a paused trial was trained again, so it went on from its checkpoint.
    assert set(Counter(first.reported + second.reported).values()) == {1}
    assert any(number in paused for number, _ in second.reported)
    assert set(first.processes + second.processes) == {1}
    for name in (TRIALS_FILE, CURVES_FILE, PREDICTIONS_FILE, RETURNS_FILE):
        expected, found = (pd.read_parquet(tmp_path / campaign / name) for campaign in ("whole", "stopped"))
        # The attempts are equal, too: only what was promoted was started again.
        pd.testing.assert_frame_equal(
            found.drop(columns="seconds", errors="ignore"), expected.drop(columns="seconds", errors="ignore")
        )


@pytest.mark.slow
def test_two_at_a_time_every_cell_has_the_score_that_it_has_in_this_process(tmp_path: Path, ray_folder: Path) -> None:
    config = STRATEGIES["cells"].model_copy(update={"sampler": "random"})
    curves = {}
    for name, engine, concurrency in (("whole", InProcessEngine(), 1), ("two", Watched(ray_folder), 2)):
        plan = plan_campaign(config.model_copy(update={"name": name, "concurrency": concurrency}), tmp_path)
        assert run_campaign(plan, engine).ended_by == "trials"
        curves[name] = CampaignFolder(tmp_path / name).read_curves().set_index(["number", "epoch"])
    assert set(Counter(engine.reported).values()) == {1}
    both = curves["two"].index.intersection(curves["whole"].index)
    assert len(both) >= config.trials  # the first cell of each trial, at least
    np.testing.assert_array_equal(curves["two"].loc[both, "score"], curves["whole"].loc[both, "score"])
    for _, rows in curves["two"].groupby("number"):
        np.testing.assert_allclose(rows["value"], rows["score"].expanding().mean())
    complete = CampaignFolder(tmp_path / "two").read_trials().query("status == 'complete'")
    assert set(complete["epochs"]) == {config.steps}
