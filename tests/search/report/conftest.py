"""What the tests of the report share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from search.report.campaign_data import CampaignData, read_campaign_data
from search.report.elements import Section
from search.report.write import make_sections
from search.results.folder import CampaignFolder
from tests.helpers.tracked import ROOT

NAME = "btc-eth-15m-8m"


@pytest.fixture(scope="session")
def committed_folder(tmp_path_factory: pytest.TempPathFactory) -> CampaignFolder:
    """A copy of a committed campaign, away from any bars; only to be read."""
    root: Path = tmp_path_factory.mktemp("committed") / "deep" / "results"
    shutil.copytree(ROOT / "results" / NAME, root / NAME)
    return CampaignFolder(root / NAME)


@pytest.fixture(scope="session")
def committed(committed_folder: CampaignFolder) -> CampaignData:
    """What is known of a confirmed campaign whose bars are not at hand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(committed_folder.path)
        return read_campaign_data(committed_folder)


@pytest.fixture(scope="session")
def sections(committed: CampaignData, committed_folder: CampaignFolder) -> dict[str, Section]:
    """The sections of its report, by identifier, in their order."""
    return {section.identifier: section for section in make_sections(committed, committed_folder)}
