"""What is committed under results/ is whole, and the shipped presets are what it gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from core import presets
from core.config import parse
from core.files import read_yaml
from search.cli.app import app
from search.config import CampaignConfig, study_settings
from search.results import manifest
from search.results.folder import CONFIG_FILE, JOURNAL_FILE, VERDICT_FILE, CampaignFolder
from search.study.replay import replay_study
from tests.helpers.tracked import ROOT, tracked_files

CAMPAIGNS = [path.parent for path in tracked_files(f"results/*/{VERDICT_FILE}")]
LARGEST = 5 * 2**20


def test_shipped_presets_are_what_their_campaigns_give_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    sources = [presets.load_preset(name).provenance for name in presets.shipped_preset_names()]
    names = sorted(source.campaign for source in sources if source is not None)
    assert names == [folder.name for folder in CAMPAIGNS if folder.name in names]
    for folder in ([], ["--presets", "core/presets"]):
        done = CliRunner().invoke(app, ["regenerate", *names, "--check", *folder])
        assert done.exit_code == 0, done.output
        assert done.output.count("unchanged") >= len(names) >= 1


@pytest.mark.parametrize("folder", CAMPAIGNS, ids=lambda folder: folder.name)
def test_a_committed_campaign_is_whole_small_and_can_be_audited(folder: Path) -> None:
    manifest.check_manifest(CampaignFolder(folder))
    assert sum(path.stat().st_size for path in tracked_files(f"results/{folder.name}")) < LARGEST
    content = read_yaml(folder / CONFIG_FILE)
    config = parse(CampaignConfig, content["config"], str(folder))
    replayed = replay_study(folder / JOURNAL_FILE, study_settings(config))
    assert replayed.first_difference is None
    assert replayed.proposals == len(CampaignFolder(folder).read_trials())
