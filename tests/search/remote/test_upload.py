"""A campaign's file and its presets are sent to the cluster, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from core import presets
from core.errors import ConfigError
from search.config import resolve_config
from search.remote.upload import collect_files, install_presets

YAML = (
    "name: x\nask: [production_small, mine]\nincumbent: own/other.yaml\ndata: {files: [/data/binance_X_5m.parquet]}\n"
)


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with two presets that the campaign names, and with other files."""
    folder = tmp_path / "laptop"
    shipped = presets.load_preset("quick_experiment")
    presets.save_preset(shipped.model_copy(update={"name": "mine"}), folder / "presets")
    presets.save_preset(shipped.model_copy(update={"name": "other"}), folder / "own")
    presets.save_preset(shipped.model_copy(update={"name": "unnamed"}), folder / "presets")
    (folder / "secret.txt").write_text("x")
    (folder / "my campaign.yaml").write_text(YAML)
    monkeypatch.chdir(folder)
    return folder


def _collect(laptop: Path, text: str = YAML) -> Path:
    file = laptop / "my campaign.yaml"
    file.write_text(text)
    upload = laptop.parent / "upload"
    upload.mkdir()
    collect_files(upload, file, resolve_config(file, {}, {}))
    return upload


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_file_and_its_presets_are_sent_and_installed_at_their_paths(laptop: Path) -> None:
    upload = _collect(laptop)
    assert _files(upload) == ["campaign.yaml", "presets/own/other.yaml", "presets/presets/mine.yaml"]
    assert (upload / "campaign.yaml").read_text() == YAML
    home = laptop.parent / "home"
    for _ in range(2):
        install_presets(upload, home)
    assert _files(home) == ["own/other.yaml", "presets/mine.yaml"]
    assert (home / "presets/mine.yaml").read_bytes() == (laptop / "presets/mine.yaml").read_bytes()


def test_a_different_preset_of_that_name_on_the_head_stays(laptop: Path) -> None:
    upload = _collect(laptop)
    home = laptop.parent / "home"
    (home / "presets").mkdir(parents=True)
    (home / "presets/mine.yaml").write_text("other")
    with pytest.raises(ConfigError, match=r"presets/mine.yaml on the head is a different preset"):
        install_presets(upload, home)
    assert (home / "presets/mine.yaml").read_text() == "other"


@pytest.mark.parametrize("path", ["{0}/own/other.yaml", "../laptop/own/other.yaml"])
def test_a_preset_outside_the_working_folder_is_refused(laptop: Path, path: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be sent to the cluster.*Copy it to presets/"):
        _collect(laptop, YAML.replace("own/other.yaml", path.format(laptop)))


def test_a_missing_preset_is_an_error_on_this_machine(laptop: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        _collect(laptop, YAML.replace("own/other.yaml", "nowhere"))
