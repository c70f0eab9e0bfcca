"""Campaigns that earlier versions began are resumed by this one: recorded folders, which are never written anew.

`begun` was run and stopped by the version before the modules moved into packages. Its checkpoints were left out, so
open trials start again from their first epoch.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from search.campaign.plan import plan_resume
from search.campaign.run import resume_campaign
from search.campaign.status import read_campaign_status
from search.config import study_settings
from search.engine.in_process import InProcessEngine
from search.results.folder import CampaignFolder
from search.results.manifest import check_manifest
from search.study.replay import replay_study

pytestmark = pytest.mark.costly

HERE = Path(__file__).parent / "campaigns"


@pytest.fixture
def begun(tmp_path: Path) -> CampaignFolder:
    shutil.copytree(HERE / "begun", tmp_path / "begun")
    return CampaignFolder(tmp_path / "begun")


def test_its_folder_is_read_as_it_was_written(begun: CampaignFolder) -> None:
    check_manifest(begun)
    status = read_campaign_status(begun.path.parent, "begun")
    assert (status.phase, status.trials) == ("stopped", {"complete": 2, "stopped": 1, "unfinished": 1})
    recorded = {trial.number: trial for trial in begun.read_journal()}
    table = begun.read_trials()
    np.testing.assert_array_equal([trial.value for trial in recorded.values()], table["value"])
    assert begun.read_record().metric == "macro_f1"


def test_a_campaign_begun_before_the_move_is_resumed_to_its_end(begun: CampaignFolder) -> None:
    journal, curves = begun.journal.read_bytes(), pd.read_parquet(begun.curves_table)
    open_trials = {trial.number for trial in begun.read_journal() if trial.outcome is None}
    assert open_trials, "nothing is left to resume: the test shows nothing"
    summary = resume_campaign(plan_resume("begun", begun.path.parent, None, None), InProcessEngine())
    assert summary.ended_by == "trials"
    assert begun.journal.read_bytes().startswith(journal)
    trials = begun.read_trials()
    assert trials["number"].tolist() == [0, 1, 2, 3]
    assert set(trials["status"]) <= {"complete", "stopped"}
    assert trials["attempts"].tolist() == [2 if number in open_trials else 1 for number in range(4)]
    now = pd.read_parquet(begun.curves_table).set_index(["number", "epoch"])
    before = curves.set_index(["number", "epoch"])
    np.testing.assert_array_equal(now.loc[before.index, "score"], before["score"])
    replayed = replay_study(begun.journal, study_settings(begun.read_config()))
    assert (replayed.equal, replayed.proposals) == (4, 4)
    check_manifest(begun)
