"""What is refused before Ray is asked for anything; the rest is in `tests/integration/test_run.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from core.config import Device
from core.errors import ConfigError
from search.campaign import run as campaign
from search.campaign.plan import CampaignPlan, campaign_yaml, plan_campaign, plan_resume
from search.config import settings_of
from search.results.folder import CONFIG_FILE, JOURNAL_FILE, RESTORED_FILE
from search.study.study import CampaignStudy
from tests.helpers.campaigns import NAME, config


def _begun_on_a_gpu(root: Path, device: Device) -> CampaignPlan:
    planned = plan_campaign(config().model_copy(update={"device": device}), root)
    planned.folder.mkdir(parents=True)
    content = yaml.safe_load(campaign_yaml(planned, datetime(2024, 5, 1, tzinfo=UTC)))
    content["resolved"]["device"] = "cuda"
    (planned.folder / CONFIG_FILE).write_text(yaml.safe_dump(content))
    CampaignStudy(planned.folder / JOURNAL_FILE, settings_of(planned.config)).close()
    return plan_resume(NAME, root, None, None)


def test_a_campaign_does_not_go_on_where_its_trials_could_not_be_compared(tmp_path: Path) -> None:
    planned = _begun_on_a_gpu(tmp_path, "auto")
    with pytest.raises(ConfigError, match=r"small trains on cuda, and here is cpu.*say device: cpu in its"):
        campaign.resume_campaign(planned)


def test_who_says_where_it_trains_may_go_on_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = _begun_on_a_gpu(tmp_path, "cpu")
    reached: list[object] = []
    monkeypatch.setattr(campaign, "_run_search", lambda *_: reached.append(1))
    campaign.resume_campaign(planned)
    assert reached


def test_who_goes_on_with_what_came_from_the_storage_begins_another_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generations: list[int] = []
    monkeypatch.setattr(campaign, "_run_search", lambda _, record, *__: generations.append(record.generation))
    planned = _begun_on_a_gpu(tmp_path, "cpu")
    (planned.folder / RESTORED_FILE).touch()
    for _ in range(2):
        campaign.resume_campaign(planned)
    assert generations == [1, 1]
