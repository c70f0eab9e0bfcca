from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from core.errors import ConfigError
from core.files import write_json
from search.results.folder import ROW_FILE, CampaignFolder
from search.results.records import CellRecord

COMMITTED = Path(__file__).parents[3] / "results"
NAME = "btc-eth-5m-30d"


@pytest.fixture
def folder(tmp_path: Path) -> CampaignFolder:
    shutil.copytree(COMMITTED / NAME, tmp_path / NAME)
    return CampaignFolder.find(tmp_path, NAME)


def test_everything_of_a_committed_campaign_can_be_read(folder: CampaignFolder) -> None:
    trials = folder.read_journal()
    assert len(trials) == len(folder.read_trials()) == 64
    assert folder.read_config().name == folder.read_record().name == folder.name == NAME
    assert folder.read_record().metric == "macro_f1"
    assert folder.read_record().device is None  # the version that ran it did not record one
    assert set(folder.read_predictions()["split"]) == set(folder.read_returns()["split"]) >= {"val", "test"}
    assert len(folder.read_curves()) == sum(len(trial.epochs) for trial in trials)
    incumbent = folder.read_incumbent()
    assert incumbent is not None
    assert incumbent.epochs[0].epoch == 1
    assert incumbent.as_row() == json.loads(folder.incumbent.read_text())
    assert folder.read_confirmation() is None
    assert folder.read_summary().ended_by == "trials"
    assert folder.read_verdict() is not None
    assert folder.is_concluded


def test_what_is_not_there_is_named_with_what_is(folder: CampaignFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"no campaign 'other' in .*Name one of: {NAME}"):
        CampaignFolder.find(tmp_path, "other")
    with pytest.raises(ConfigError, match="Start one with: preset-search run"):
        CampaignFolder.find(tmp_path / "nowhere", "other")
    for name in ("../x", "", "a/b", ".hidden"):
        with pytest.raises(ConfigError, match="cannot be the name of a campaign"):
            CampaignFolder.find(tmp_path, name)


READERS: dict[str, tuple[str, Callable[[CampaignFolder], object]]] = {
    "config": ("campaign.yaml", CampaignFolder.read_config),
    "record": ("campaign.yaml", CampaignFolder.read_record),
    "journal": ("journal.log", CampaignFolder.read_journal),
    "trials": ("trials.parquet", CampaignFolder.read_trials),
    "curves": ("curves.parquet", CampaignFolder.read_curves),
    "predictions": ("predictions.parquet", CampaignFolder.read_predictions),
    "returns": ("returns.parquet", CampaignFolder.read_returns),
    "incumbent": ("incumbent.json", CampaignFolder.read_incumbent),
    "confirmation": ("confirmation/begun.json", CampaignFolder.read_confirmation),
    "summary": ("summary.json", CampaignFolder.read_summary),
    "verdict": ("verdict.json", CampaignFolder.read_verdict),
}
DAMAGE: dict[str, bytes] = {
    "empty": b"",
    "torn": b'{"a": [1, 2',
    "a list": b"[1, 2]\n",
    "a number": b"3\n",
    "null": b"null\n",
    "nested too deep": b"[" * 100_000,
    "a transaction of no line": b'{"op_code": 0, "act": {"lines": 0}}\n' * 2,
    "a transaction without end": b'{"op_code": 0, "act": {"lines": -1}}\n' * 2,
    "a transaction of text": b'{"op_code": 0, "act": {"lines": "x"}}\n' * 2,
    "bytes": bytes(range(256)) * 10,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_file_is_one_error_that_names_it(folder: CampaignFolder, reader: str, damage: str) -> None:
    name, read = READERS[reader]
    folder.cells.mkdir()
    (folder.path / name).write_bytes(DAMAGE[damage])
    with pytest.raises(ConfigError) as caught:
        read(folder)
    assert str(folder.path / name) in str(caught.value) or f"{NAME}'s journal" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reader", sorted(set(READERS) - {"verdict", "incumbent", "confirmation"}))
def test_a_missing_file_is_one_error_that_names_it(folder: CampaignFolder, reader: str) -> None:
    name, read = READERS[reader]
    (folder.path / name).unlink()
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
        read(folder)


def test_what_a_campaign_need_not_have_is_none(folder: CampaignFolder) -> None:
    folder.verdict.unlink()
    folder.incumbent.unlink()
    assert folder.read_verdict() is None
    assert folder.read_incumbent() is None
    assert folder.read_confirmation() is None
    assert folder.read_cell("key") is None


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_cell_with_a_damaged_record_is_not_finished(folder: CampaignFolder, damage: str) -> None:
    record = CellRecord(number=1, seed=2, split="test", status="complete", reason="")
    write_json(folder.cell("key") / ROW_FILE, record.as_row())
    assert folder.read_cell("key") == record
    (folder.cell("key") / ROW_FILE).write_bytes(DAMAGE[damage])
    assert folder.read_cell("key") is None


def test_a_setting_of_another_version_prevents_resuming_and_nothing_else(folder: CampaignFolder) -> None:
    content = yaml.safe_load(folder.config_file.read_text())
    content["config"]["of_tomorrow"] = 1
    folder.config_file.write_text(yaml.safe_dump(content))
    assert folder.read_record().name == NAME
    with pytest.raises(ConfigError, match="of_tomorrow"):
        folder.read_config()


@pytest.mark.parametrize(
    ("name", "preset"), [("my-campaign", "my_campaign"), (NAME, "my_btc_eth_5m_30d"), ("x" * 64, "x" * 64)]
)
def test_a_campaigns_preset_is_never_named_as_a_shipped_one(name: str, preset: str) -> None:
    assert CampaignFolder(Path("results") / name).default_preset_name == preset


def test_finished_cells_are_counted_by_their_rows(folder: CampaignFolder) -> None:
    for cell, file in (("a", ROW_FILE), ("b", ROW_FILE), ("c", "predictions.parquet")):
        (folder.cells / cell).mkdir(parents=True)
        (folder.cells / cell / file).touch()
    assert folder.finished_cells() == 2


DAMAGED_TRIALS: dict[str, Callable[[pd.DataFrame], object]] = {
    "no status": lambda table: table.drop(columns="status"),
    "no value": lambda table: table.drop(columns="value"),
    "a trial twice": lambda table: pd.concat([table, table.head(1)]),
    "an unknown status": lambda table: table.assign(status="won"),
    "a learning rate that is not defined": lambda table: table.assign(learning_rate=float("nan")),
    "a learning rate of 7": lambda table: table.assign(learning_rate=7.0),
    "an infinite weight decay": lambda table: table.assign(weight_decay=float("inf")),
    "no batch": lambda table: table.assign(batch_size=0),
    "a best epoch before the first": lambda table: table.assign(best_epoch=-5),
    "no best epoch": lambda table: table.assign(best_epoch=pd.array([None] * len(table), dtype="Int64")),
    "text for numbers": lambda table: table.assign(value="much"),
}


@pytest.mark.parametrize("damage", DAMAGED_TRIALS)
def test_trials_that_no_campaign_has_are_damage_of_their_file(damage: str, folder: CampaignFolder) -> None:
    changed = DAMAGED_TRIALS[damage](pd.read_parquet(folder.trials_table))
    assert isinstance(changed, pd.DataFrame)
    changed.to_parquet(folder.trials_table)
    with pytest.raises(ConfigError, match=r"trials\.parquet cannot be read \(.*Resume the campaign"):
        folder.read_ranked_trials()
