"""Tests of what happens before a training starts; runs on Ray are in `tests/integration/test_run.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from core.config import Device
from core.errors import ConfigError
from search.campaign import run as campaign
from search.campaign.plan import CampaignPlan, make_campaign_yaml, plan_campaign, plan_resume
from search.config import study_settings
from search.engine.in_process import InProcessEngine
from search.study.study import CampaignStudy
from tests.helpers.campaigns import NAME, config


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
