"""Tests of what happens before a training starts; runs on Ray are in `tests/integration/test_run.py`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from core.config import DataConfig, Device, SyntheticConfig, parse
from core.errors import ConfigError
from core.presets import Preset, preset_yaml
from search.campaign import run as campaign
from search.campaign.plan import CampaignPlan, make_campaign_yaml, plan_campaign, plan_resume
from search.campaign.run import resume_campaign, run_campaign
from search.config import study_settings
from search.confirmation.plan import plan_confirmation
from search.confirmation.run import run_confirmation
from search.engine.in_process import InProcessEngine
from search.engine.job import TrialJob
from search.results import manifest
from search.results.export import make_preset
from search.results.folder import CampaignFolder
from search.results.tables import read_val_blocks
from search.study.controller import Controller
from search.study.replay import replay_study
from search.study.space import Choice, SpaceConfig
from search.study.study import CampaignStudy
from tests.helpers.campaigns import NAME, config
from tests.search.campaign.conftest import curves_of


def _begun_on_a_gpu(root: Path, device: Device) -> CampaignPlan:
    planned = plan_campaign(config().model_copy(update={"device": device}), root)
    planned.folder.path.mkdir(parents=True)
    content = yaml.safe_load(make_campaign_yaml(planned, datetime(2024, 5, 1, tzinfo=UTC)))
    content["resolved"]["device"] = "cuda"
    planned.folder.config_file.write_text(yaml.safe_dump(content))
    CampaignStudy(planned.folder.journal, study_settings(planned.config)).close()
    return plan_resume(NAME, root, None, None)


def test_a_campaign_is_not_resumed_on_a_device_whose_trials_could_not_be_compared(tmp_path: Path) -> None:
    planned = _begun_on_a_gpu(tmp_path, "auto")
    with pytest.raises(ConfigError, match=r"small trains on cuda, but this machine has cpu.*set device: cpu in its"):
        campaign.resume_campaign(planned, InProcessEngine())


def test_a_campaign_with_a_named_device_may_be_resumed_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = _begun_on_a_gpu(tmp_path, "cpu")
    reached: list[object] = []
    monkeypatch.setattr(campaign, "_run_search", lambda *_: reached.append(1))
    campaign.resume_campaign(planned, InProcessEngine())
    assert reached


def test_resuming_a_restored_campaign_begins_another_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generations: list[int] = []
    monkeypatch.setattr(campaign, "_run_search", lambda _, record, *__: generations.append(record.generation))
    planned = _begun_on_a_gpu(tmp_path, "cpu")
    planned.folder.restored_marker.touch()
    for _ in range(2):
        campaign.resume_campaign(planned, InProcessEngine())
    assert generations == [1, 1]


TRIALS_WITHOUT_RAY = """
import sys
sys.modules["ray"] = None  # importing it fails
from pathlib import Path
from search.campaign.plan import plan_campaign
from search.campaign.run import run_campaign
from search.engine.in_process import InProcessEngine
from tests.helpers.campaigns import config
summary = run_campaign(plan_campaign(config(), Path(sys.argv[1])), InProcessEngine())
print(summary.ended_by, sum(summary.counts.values()))
"""


def test_a_campaign_needs_no_ray(tmp_path: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-c", TRIALS_WITHOUT_RAY, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stdout.split()) == (0, ["trials", "3"]), process.stderr


class Interrupted(InProcessEngine):
    """Is interrupted after some reports, as by Ctrl-C."""

    def __init__(self, reports: int) -> None:
        self.reports = reports

    def run_trials(self, job: TrialJob, dataset: Any, controller: Controller, *rest: Any) -> None:
        on_report = controller.on_report

        def counted(*args: Any) -> Any:
            action = on_report(*args)
            self.reports -= 1
            if self.reports == 0:
                raise KeyboardInterrupt
            return action

        controller.on_report = counted  # type: ignore[method-assign]
        super().run_trials(job, dataset, controller, *rest)


@pytest.mark.parametrize("reports", [1, 2, 4])
def test_a_campaign_interrupted_anywhere_resumes_to_the_same_tables(
    whole: CampaignFolder, tmp_path: Path, reports: int
) -> None:
    summary = run_campaign(plan_campaign(config(), tmp_path), Interrupted(reports))
    assert summary.unfinished
    resumed = resume_campaign(plan_resume(NAME, tmp_path, None, None), InProcessEngine())
    assert resumed.ended_by == "trials"
    assert not resumed.differences
    pd.testing.assert_frame_equal(curves_of(CampaignFolder(tmp_path / NAME)), curves_of(whole))
    blocks = read_val_blocks(whole)
    assert blocks is not None
    assert blocks.shape == (3, 10)  # of every trial, whether it was stopped or not


class Broken(Interrupted):
    """Fails after some reports, and with it all reading of the journal."""

    def run_trials(self, job: TrialJob, dataset: Any, controller: Controller, *rest: Any) -> None:
        try:
            super().run_trials(job, dataset, controller, *rest)
        except KeyboardInterrupt:
            raise RuntimeError("too many open files") from None


def test_a_failed_run_whose_journal_cannot_be_read_keeps_its_folder(
    whole: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ConfigError("journal.log cannot be read (Too many open files)", "Close some")

    with monkeypatch.context() as patch:
        patch.setattr(CampaignFolder, "read_journal", fail)
        patch.setattr("search.study.journal.file.read_committed", fail)
        with pytest.raises(RuntimeError, match="too many open files"):
            run_campaign(plan_campaign(config(), tmp_path), Broken(2))
    resume_campaign(plan_resume(NAME, tmp_path, None, None), InProcessEngine())
    pd.testing.assert_frame_equal(curves_of(CampaignFolder(tmp_path / NAME)), curves_of(whole))


def test_a_run_that_fails_before_its_first_trial_frees_its_name(tmp_path: Path) -> None:
    class Unable(InProcessEngine):
        def share(self, dataset: Any) -> Any:
            raise RuntimeError("no room")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="no room"):
            run_campaign(plan_campaign(config(), tmp_path), Unable())
        assert not (tmp_path / NAME).exists()


class UnableToStart(InProcessEngine):
    """Cannot start, as Ray where its port is taken."""

    def session(self) -> AbstractContextManager[None]:
        raise ConfigError("Ray cannot be started", "Try again")


class UnableToShare(InProcessEngine):
    """Fails after the nodes have been checked, but before any trial."""

    def share(self, dataset: Any) -> Any:
        raise ConfigError("The dataset does not fit", "Take fewer days")


@pytest.mark.parametrize("engine", [UnableToStart(), UnableToShare()])
def test_a_resume_that_cannot_start_leaves_a_concluded_campaign_concluded(
    whole: CampaignFolder, tmp_path: Path, engine: InProcessEngine
) -> None:
    shutil.copytree(whole.path, tmp_path / NAME)
    folder = CampaignFolder(tmp_path / NAME)
    with pytest.raises(ConfigError):
        resume_campaign(plan_resume(NAME, tmp_path, 4, None), engine)
    manifest.check_manifest(folder)
    assert folder.read_config().trials == 3


def test_a_verdict_that_comes_while_the_journal_is_not_locked_ends_a_resume(
    whole: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole.path, tmp_path / NAME)
    folder = CampaignFolder(tmp_path / NAME)
    planned = plan_resume(NAME, tmp_path, 4, None)

    def conclude_and_open(*args: Any, **kwargs: Any) -> CampaignStudy:
        folder.verdict.write_text("{}")
        return CampaignStudy(*args, **kwargs)

    monkeypatch.setattr(campaign, "CampaignStudy", conclude_and_open)
    with pytest.raises(ConfigError, match="has read its test span"):
        resume_campaign(planned, InProcessEngine())
    manifest.check_manifest(folder, manifest.SEARCH_FILES)


def test_a_search_that_went_on_while_its_confirmation_was_planned_is_planned_again(
    whole: CampaignFolder, tmp_path: Path
) -> None:
    shutil.copytree(whole.path, tmp_path / NAME)
    planned = plan_confirmation(NAME, tmp_path)
    resume_campaign(plan_resume(NAME, tmp_path, 4, None), InProcessEngine())
    with pytest.raises(ConfigError, match="Another process worked on campaign small"):
        run_confirmation(planned, InProcessEngine())
    assert CampaignFolder(tmp_path / NAME).read_confirmation() is None


def test_a_campaign_is_confirmed_and_its_verdict_is_recorded(whole: CampaignFolder) -> None:
    verdict = run_confirmation(plan_confirmation(NAME, whole.path.parent), InProcessEngine())
    assert verdict.status in ("too short to tell", "not certified")  # a few days certify nothing
    assert whole.read_verdict() == verdict
    assert not whole.cells.exists()


def test_the_driver_logs_what_it_did_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "trial started")  # words that the log is sure to hold
    before = datetime.now(UTC)
    run_campaign(plan_campaign(config(), tmp_path), InProcessEngine())
    lines = [json.loads(line) for line in CampaignFolder(tmp_path / NAME).driver_log.read_text().splitlines()]
    assert all(before <= datetime.fromisoformat(line["time"]) <= datetime.now(UTC) for line in lines[1:])
    messages = [line["message"] for line in lines]
    assert messages[0] == "run started"
    assert messages[-1] == "run ended"
    assert messages.count("trial ended") == 3
    assert messages.count("***") == 3
    assert "trial started" not in messages
    assert {line["level"] for line in lines} == {"debug", "info"}


def test_a_searched_window_is_that_of_the_trials_of_the_table_and_of_the_preset(tmp_path: Path) -> None:
    settings = config(DataConfig(synthetic=SyntheticConfig(bars=5000), window=16))
    space = SpaceConfig(window=Choice(values=(4, 8)), batch_size=Choice(values=(256,)))
    settings = settings.model_copy(update={"space": space, "train_incumbent": False})
    summary = run_campaign(plan_campaign(settings, tmp_path), InProcessEngine())
    trials = CampaignFolder(tmp_path / NAME).read_trials()
    assert set(trials["window"]) == {4, 8}
    assert summary.winner is not None
    preset = make_preset(CampaignFolder(tmp_path / NAME), "found")
    winner = trials.set_index("number").loc[summary.winner.number]
    assert preset.hyperparameters.window == winner["window"]
    assert preset.training_config().model.window == winner["window"]
    assert parse(Preset, yaml.safe_load(preset_yaml(preset)), "found") == preset


@pytest.mark.parametrize("reports", [1, 3, 5])
def test_a_campaign_that_pauses_trials_resumes_where_it_was_interrupted(tmp_path: Path, reports: int) -> None:
    space = SpaceConfig(batch_size=Choice(values=(256,)))
    changes = {"asha": "promotion", "trials": 4, "max_epochs": 3, "train_incumbent": False, "space": space}
    settings = config().model_copy(update=changes)
    assert run_campaign(plan_campaign(settings, tmp_path), Interrupted(reports)).unfinished
    resumed = resume_campaign(plan_resume(NAME, tmp_path, None, None), InProcessEngine())
    assert (resumed.ended_by, resumed.differences) == ("trials", [])
    folder = CampaignFolder(tmp_path / NAME)
    trials, curves = folder.read_trials(), folder.read_curves()
    assert set(trials["status"]) == {"complete", "stopped"}
    assert set(trials.loc[trials["status"] == "stopped", "reason"].str[:22]) == {"not promoted at rung 1"}
    at_rung = curves[curves["epoch"] == 1].set_index("number")["value"]
    assert at_rung.idxmax() in set(trials.loc[trials["status"] == "complete", "number"])
    assert replay_study(folder.journal, study_settings(settings)).equal == 4
