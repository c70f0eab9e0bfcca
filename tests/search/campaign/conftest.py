"""A small campaign that was run to its end in this process, which the tests of this folder share."""

from __future__ import annotations

import pandas as pd
import pytest

from search.campaign.plan import plan_campaign
from search.campaign.run import run_campaign
from search.engine.in_process import InProcessEngine
from search.results.folder import CampaignFolder
from tests.helpers.campaigns import NAME, config


def curves_of(folder: CampaignFolder) -> pd.DataFrame:
    """Return the curves table without what differs from run to run."""
    return folder.read_curves().drop(columns=["seconds"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> CampaignFolder:
    root = tmp_path_factory.mktemp("whole")
    assert run_campaign(plan_campaign(config(), root), InProcessEngine()).ended_by == "trials"
    return CampaignFolder(root / NAME)
