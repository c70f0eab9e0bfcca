"""What travels with a campaign: its file and its presets, and nothing else."""

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
    """A working folder with two presets of its own, and more that is nobody's business."""
    folder = tmp_path / "laptop"
    shipped = presets.load_preset("quick_experiment")
    presets.save_preset(shipped.model_copy(update={"name": "mine"}), folder / "presets")
    presets.save_preset(shipped.model_copy(update={"name": "other"}), folder / "own")
    presets.save_preset(shipped.model_copy(update={"name": "unnamed"}), folder / "presets")
    (folder / "secret.txt").write_text("x")
    (folder / "my campaign.yaml").write_text(YAML)
    monkeypatch.chdir(folder)
    return folder


def _fill(laptop: Path, text: str = YAML) -> Path:
    file = laptop / "my campaign.yaml"
    file.write_text(text)
    parcel = laptop.parent / "parcel"
    parcel.mkdir()
    collect_files(parcel, file, resolve_config(file, {}, {}))
    return parcel


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_file_and_the_named_presets_travel_and_come_out_where_they_are_looked_for(laptop: Path) -> None:
    parcel = _fill(laptop)
    assert _files(parcel) == ["campaign.yaml", "named/own/other.yaml", "named/presets/mine.yaml"]
    assert (parcel / "campaign.yaml").read_text() == YAML
    home = laptop.parent / "home"
    for _ in range(2):
        install_presets(parcel, home)
    assert _files(home) == ["own/other.yaml", "presets/mine.yaml"]
    assert (home / "presets/mine.yaml").read_bytes() == (laptop / "presets/mine.yaml").read_bytes()


def test_another_preset_of_that_name_on_the_head_stays(laptop: Path) -> None:
    parcel = _fill(laptop)
    home = laptop.parent / "home"
    (home / "presets").mkdir(parents=True)
    (home / "presets/mine.yaml").write_text("other")
    with pytest.raises(ConfigError, match=r"presets/mine.yaml is another preset on the head"):
        install_presets(parcel, home)
    assert (home / "presets/mine.yaml").read_text() == "other"


@pytest.mark.parametrize("place", ["{0}/own/other.yaml", "../laptop/own/other.yaml"])
def test_a_preset_from_elsewhere_is_refused(laptop: Path, place: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot travel.*Copy it to presets/"):
        _fill(laptop, YAML.replace("own/other.yaml", place.format(laptop)))


def test_a_preset_that_is_not_there_is_told_here(laptop: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        _fill(laptop, YAML.replace("own/other.yaml", "nowhere"))
