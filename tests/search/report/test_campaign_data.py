from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.errors import ConfigError
from search.report.campaign_data import CampaignData, read_campaign_data
from search.results.folder import CampaignFolder
from search.study.trial_record import STOPPED
from tests.helpers.reports import make_folder
from tests.helpers.trial_records import trial_record


@pytest.fixture
def folder(committed_folder: CampaignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CampaignFolder:
    path = tmp_path / "deep" / "results" / committed_folder.name
    shutil.copytree(committed_folder.path, path)
    monkeypatch.chdir(tmp_path / "deep")
    return CampaignFolder(path)


def test_a_confirmed_campaign_has_all_but_the_bars(committed: CampaignData) -> None:
    assert committed.verdict is not None
    assert committed.chosen == committed.verdict.winner.trial == 1
    assert committed.winner is not None
    assert committed.winner.number == 29  # the search had ranked another trial first
    assert (committed.metric, committed.step, committed.first_rung) == ("macro_f1", "epoch", 2)
    assert len(committed.trials) == len(committed.records) == 32
    assert committed.cells is not None and committed.predictions is not None and committed.returns is not None  # noqa: PT018
    assert committed.dataset is None
    assert len(committed.problems) == 1
    assert committed.problems[0].startswith("What only the bars themselves tell cannot be shown: ")


def test_a_damaged_file_is_a_sentence_and_the_rest_is_read(folder: CampaignFolder) -> None:
    folder.predictions.write_bytes(b"damaged")
    folder.verdict.write_text("{")
    campaign = read_campaign_data(folder)
    assert campaign.predictions is None
    assert campaign.verdict is None
    assert campaign.chosen == 29
    assert [sentence.partition(" cannot")[0] for sentence in campaign.problems][:2] == ["The verdict", "The state"]
    assert any(sentence.startswith("The predictions cannot be shown: ") for sentence in campaign.problems)
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in campaign.problems)


def test_without_its_journal_there_is_no_report(folder: CampaignFolder) -> None:
    folder.journal.unlink()
    with pytest.raises(ConfigError, match=r"journal\.log cannot be read"):
        read_campaign_data(folder)


def test_a_setting_of_another_version_costs_the_settings_only(folder: CampaignFolder) -> None:
    text = folder.config_file.read_text()
    folder.config_file.write_text(text.replace("  trials: 32\n", "  trials: 32\n  unheard_of: 1\n"))
    campaign = read_campaign_data(folder)
    assert campaign.config is None
    assert campaign.status is None
    assert campaign.verdict is not None
    assert campaign.problems[0].startswith("The settings cannot be shown: ")


def test_a_campaign_that_was_killed_has_its_journal_only(tmp_path: Path) -> None:
    records = [trial_record(0, [0.5, 0.6]), trial_record(1, [0.5], STOPPED), trial_record(2, [0.4], None)]
    campaign = read_campaign_data(CampaignFolder(make_folder(tmp_path, records)))
    assert campaign.status is not None
    assert campaign.status.phase == "ended by a crash"
    assert list(campaign.trials["status"]) == ["complete", "stopped", "interrupted"]
    assert campaign.verdict is campaign.cells is campaign.predictions is campaign.returns is campaign.summary is None
    assert campaign.chosen == 0
    assert campaign.first_rung is None
    assert [act["kind"] for act in campaign.acts][:3] == ["open", "ask", "result"]


def test_nobody_reads_test_before_the_confirmation_does(in_copy_of_searched_root: None) -> None:
    (path,) = Path("results").glob("*/campaign.yaml")
    campaign = read_campaign_data(CampaignFolder(path.parent))
    assert campaign.problems == ()
    assert campaign.dataset is not None
    assert len(campaign.dataset.val) > 0
    assert len(campaign.dataset.test) == 0
