from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from core import presets
from core.config import HYPERPARAMETER_NAMES
from core.errors import ConfigError
from core.files import write_table
from search.results import manifest, tables
from search.results.export import make_preset
from search.results.folder import CONFIG_FILE, TRIALS_FILE, CampaignFolder
from search.study.trial_record import STOPPED, TrialRecord
from tests.helpers.trial_records import trial_record


def _campaign(root: Path, records: list[TrialRecord]) -> Path:
    folder = root / "try-it"
    folder.mkdir()
    base = presets.load_preset("production_small").training_config(size="quick", metric="macro_f1", seed=5)
    recipe: dict[str, Any] = base.model_dump(mode="json")
    recipe["trainer"] |= {"epochs": 18, "patience": None, "schedule": "cosine"}
    content = {
        "config": {"name": "try-it", "metric": "macro_f1", "model": "quick", "seed": 5, "dry_run": False},
        "resolved": {
            "data": {
                "synthetic": False,
                "symbols": ["BTCUSDT"],
                "span": ["2024-01-01", "2024-02-01"],
                "fingerprint": "ab12",
                "window": 60,
                "horizon": 3,
                "bar": 300_000_000,
            },
            "base_recipe": recipe,
            "versions": {"torch": "2.13.0"},
        },
    }
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(content))
    write_table(folder / TRIALS_FILE, tables.make_trials_table(records))
    manifest.write_manifest(CampaignFolder(folder))
    return folder


def test_the_preset_holds_exactly_the_winning_rows_values(tmp_path: Path) -> None:
    folder = _campaign(tmp_path, [trial_record(0, [0.4]), trial_record(1, [0.5]), trial_record(2, [0.6], STOPPED)])
    path = presets.save_preset(make_preset(CampaignFolder(folder), "mine"), tmp_path / "presets")
    loaded = presets.load_preset(str(path))
    row = CampaignFolder(folder).read_trials().set_index("number").loc[1]
    for name in HYPERPARAMETER_NAMES:
        assert getattr(loaded.hyperparameters, name) == row[name]
    assert loaded.provenance is not None
    assert loaded.provenance.trial == 1
    assert loaded.provenance.val_value == row["value"]


def test_the_preset_carries_the_campaigns_epochs_and_schedule(tmp_path: Path) -> None:
    preset = make_preset(CampaignFolder(_campaign(tmp_path, [trial_record(0, [0.4])])), "mine")
    assert (preset.training.epochs, preset.training.schedule, preset.training.patience) == (18, "cosine", None)


def test_the_preset_carries_the_loss_that_the_trials_had(tmp_path: Path) -> None:
    folder = _campaign(tmp_path, [trial_record(0, [0.4])])
    content = yaml.safe_load((folder / CONFIG_FILE).read_text())
    assert "kind" not in content["resolved"]["base_recipe"]["loss"]  # as earlier versions wrote it
    assert make_preset(CampaignFolder(folder), "mine").training.loss == "multi_task"
    content["resolved"]["base_recipe"]["loss"] |= {"kind": "label_smoothing", "label_smoothing": 0.2}
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(content))
    manifest.write_manifest(CampaignFolder(folder))
    training = make_preset(CampaignFolder(folder), "mine").training
    assert (training.loss, training.label_smoothing) == ("label_smoothing", 0.2)


def test_the_preset_says_that_it_is_not_confirmed(tmp_path: Path) -> None:
    preset = make_preset(CampaignFolder(_campaign(tmp_path, [trial_record(0, [0.4])])), "mine")
    assert preset.provenance is not None
    assert (preset.provenance.status, preset.provenance.confirmation) == ("not confirmed", None)
    assert "not confirmed" in preset.description


def test_a_preset_that_is_not_confirmed_records_how_labels_were_made_too(tmp_path: Path) -> None:
    folder = _campaign(tmp_path, [trial_record(0, [0.4])])
    content = yaml.safe_load((folder / CONFIG_FILE).read_text())
    settings = {"window": 60, "horizon": 3, "labels": {"kind": "triple_barrier"}}
    content["config"]["data"] = {**settings, "symbols": ["BTCUSDT"], "store": "data", "days": 31.0, "exchange": None}
    (folder / CONFIG_FILE).write_text(yaml.safe_dump(content))
    manifest.write_manifest(CampaignFolder(folder))
    preset = make_preset(CampaignFolder(folder), "mine")
    assert preset.provenance is not None
    assert preset.provenance.data.settings == settings


def test_a_campaign_without_a_winner_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no trial reached full fidelity"):
        make_preset(CampaignFolder(_campaign(tmp_path, [trial_record(0, [0.4], STOPPED)])), "mine")


@pytest.mark.parametrize("text", ["config: {}", "- 1", "config: {name: x}\nresolved: {data: 3}"])
def test_a_damaged_campaign_file_is_refused(tmp_path: Path, text: str) -> None:
    folder = _campaign(tmp_path, [trial_record(0, [0.4])])
    (folder / CONFIG_FILE).write_text(text)
    with pytest.raises(ConfigError, match=r"campaign\.yaml was changed after"):
        make_preset(CampaignFolder(folder), "mine")
    manifest.write_manifest(CampaignFolder(folder))
    with pytest.raises(ConfigError, match=r"campaign\.yaml|are damaged|Give folder and campaign one name"):
        make_preset(CampaignFolder(folder), "mine")


def test_a_path_cannot_be_a_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be the name"):
        make_preset(CampaignFolder(_campaign(tmp_path, [trial_record(0, [0.4])])), "../mine")


@pytest.mark.parametrize("damage", [{"trial": 99999}, {"trial": 0}, {"hyperparameters": {"dropout": 0.123}}])
def test_a_winner_that_the_trials_do_not_hold_is_damage_of_the_verdict(tmp_path: Path, damage: dict[str, Any]) -> None:
    name = "btc-eth-5m-30d"
    shutil.copytree(Path(__file__).parents[3] / "results" / name, tmp_path / name)
    folder = CampaignFolder.find(tmp_path, name)
    content = json.loads(folder.verdict.read_text())
    content["winner"] |= damage
    folder.verdict.write_text(json.dumps(content))
    manifest.write_manifest(folder)
    with pytest.raises(ConfigError, match=r"verdict\.json names trial \d+ as the winner, which .*trials\.parquet"):
        make_preset(folder, "mine")
