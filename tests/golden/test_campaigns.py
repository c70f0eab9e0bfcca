"""Campaigns that earlier versions began are read by this one: recorded folders, which are never written anew.

`begun` was run and stopped by the version before the modules moved into packages.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from core.errors import ConfigError
from search.campaign.plan import plan_resume
from search.campaign.status import read_campaign_status
from search.config import study_settings
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


def test_a_campaign_of_a_version_that_scored_otherwise_is_replayed_but_not_resumed(begun: CampaignFolder) -> None:
    """Its macro-F1 was of the most probable classes, today's of a decision rule: they must not be ranked together."""
    before = {path: path.read_bytes() for path in begun.path.rglob("*") if path.is_file()}
    assert any(trial.outcome is None for trial in begun.read_journal()), "nothing is left to resume: this shows nothing"
    with pytest.raises(ConfigError, match="started by another version of this program"):
        plan_resume("begun", begun.path.parent, None, None)
    replayed = replay_study(begun.journal, study_settings(begun.read_config()))
    assert replayed.equal == replayed.proposals > 0
    assert {path: path.read_bytes() for path in begun.path.rglob("*") if path.is_file()} == before
