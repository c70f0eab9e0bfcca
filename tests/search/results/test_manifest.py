from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from search.results import manifest
from search.results.folder import CONFIG_FILE, JOURNAL_FILE, MANIFEST_FILE, TRIALS_FILE, VERDICT_FILE, CampaignFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (CONFIG_FILE, JOURNAL_FILE, TRIALS_FILE):
        (tmp_path / name).write_text(f"content of {name}")
    manifest.write_manifest(CampaignFolder(tmp_path))
    return tmp_path


def test_an_unchanged_folder_passes(folder: Path) -> None:
    manifest.check_manifest(CampaignFolder(folder))
    (folder / "notes.txt").write_text("of the user's own")
    manifest.check_manifest(CampaignFolder(folder))


def test_an_edited_file_is_reported(folder: Path) -> None:
    (folder / TRIALS_FILE).write_text("content of trials.parqueT")
    with pytest.raises(ConfigError, match=r"trials\.parquet was changed after"):
        manifest.check_manifest(CampaignFolder(folder))


def test_a_truncated_file_is_reported(folder: Path) -> None:
    (folder / JOURNAL_FILE).write_text("content of")
    with pytest.raises(ConfigError, match=r"journal\.log was changed after"):
        manifest.check_manifest(CampaignFolder(folder))


def test_a_missing_file_is_reported(folder: Path) -> None:
    (folder / CONFIG_FILE).unlink()
    with pytest.raises(ConfigError, match=r"campaign\.yaml is missing"):
        manifest.check_manifest(CampaignFolder(folder))


def test_an_added_file_is_reported(folder: Path) -> None:
    (folder / VERDICT_FILE).write_text('{"status": "certified"}')
    with pytest.raises(ConfigError, match=r"verdict\.json is not in the manifest"):
        manifest.check_manifest(CampaignFolder(folder))


def test_a_folder_without_a_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST_FILE).unlink()
    with pytest.raises(ConfigError, match=r"was not concluded\. Resume the campaign"):
        manifest.check_manifest(CampaignFolder(folder))


def test_a_confirmed_folder_without_a_manifest_is_to_be_restored_and_not_resumed(folder: Path) -> None:
    (folder / MANIFEST_FILE).unlink()
    (folder / VERDICT_FILE).write_text("{}")
    with pytest.raises(ConfigError, match=r"a verdict but no manifest\. Restore .*manifest\.json from a backup"):
        manifest.check_manifest(CampaignFolder(folder))


@pytest.mark.parametrize("text", ["", "[]", '{"sha256": 3}', "{}", "\x00", pytest.param("[" * 100_000, id="deep")])
def test_a_damaged_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST_FILE).write_text(text)
    with pytest.raises(ConfigError, match=r"manifest\.json cannot be read"):
        manifest.check_manifest(CampaignFolder(folder))
