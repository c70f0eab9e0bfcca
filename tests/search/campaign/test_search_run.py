"""What a run of a search does beside the trials; the whole campaign is tested in `test_run.py`."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core import console
from search.campaign.plan import plan_campaign, plan_resume
from search.campaign.run import run_campaign
from search.campaign.search_run import SearchRun
from search.config import study_settings
from search.engine.in_process import InProcessEngine
from search.results.folder import CampaignFolder
from search.storage import removal
from search.storage.filesystem import Storage
from search.study.study import CampaignStudy
from tests.helpers.campaigns import NAME, config
from tests.search.campaign.conftest import curves_of


def test_of_ended_trainings_no_checkpoint_stays(whole: CampaignFolder) -> None:
    files = plan_resume(NAME, whole.path.parent, None, None).storage.list_files()
    complete = whole.read_trials().query("status == 'complete'")["number"]
    assert {Path(name).name for name in files} == {"predictions.parquet", "returns.parquet"}
    assert {int(name.split("/")[0]) for name in files} == set(complete)


def test_a_storage_that_hangs_while_files_are_removed_does_not_hold_the_campaign(
    whole: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(removal, "DRAIN_SECONDS", 0.1)
    monkeypatch.setattr(Storage, "remove", lambda *_: released.wait())
    monkeypatch.setattr(Storage, "remove_folder", lambda *_: released.wait())
    try:
        assert run_campaign(plan_campaign(config(), tmp_path), InProcessEngine()).ended_by == "trials"
    finally:
        released.set()
    pd.testing.assert_frame_equal(curves_of(CampaignFolder(tmp_path / NAME)), curves_of(whole))


def test_the_incumbent_is_trained_only_where_that_is_asked_for(whole: CampaignFolder, tmp_path: Path) -> None:
    settings = config().model_copy(update={"train_incumbent": False})
    summary = run_campaign(plan_campaign(settings, tmp_path), InProcessEngine())
    folder = CampaignFolder(tmp_path / NAME)
    assert summary.incumbent is None
    assert summary.ended_by == "trials"
    assert not folder.incumbent.exists()
    assert whole.incumbent.exists()
    pd.testing.assert_frame_equal(curves_of(folder), curves_of(whole))  # it decides nothing


@pytest.mark.parametrize(("slots", "before", "after"), [(1, 1, 1), (2, 1, 2), (4, 3, 4)])
def test_no_trial_is_proposed_for_the_slot_of_the_incumbent(
    tmp_path: Path, slots: int, before: int, after: int
) -> None:
    planned = plan_campaign(config(), tmp_path)
    planned = replace(planned, resources=replace(planned.resources, max_concurrent=slots))
    planned.folder.path.mkdir(parents=True)
    study = CampaignStudy(planned.folder.journal, study_settings(planned.config))
    try:
        with console.progress_bar() as bar:
            run = SearchRun(planned, study, InProcessEngine(), planned.dataset, None, lambda: False, bar)
        assert run.controller.concurrency == before
        assert run.incumbent is not None
        run.incumbent.on_finished()
        assert run.controller.concurrency == after
    finally:
        study.close()


def test_a_request_to_stop_is_obeyed_before_the_first_trial(tmp_path: Path) -> None:
    planned = plan_campaign(config(), tmp_path)

    class Stopping(InProcessEngine):
        """Runs trials after someone has asked for an end."""

        def run_trials(self, *arguments: Any) -> None:
            planned.folder.stop_request.touch()
            super().run_trials(*arguments)

    with pytest.raises(KeyboardInterrupt):  # there is no result yet
        run_campaign(planned, Stopping())
    assert not planned.folder.path.exists()
