from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core import presets
from core.config import DataConfig
from core.errors import ConfigError
from core.presets import Preset
from search.results import ledger
from search.results.folder import CONFIG_FILE, LEDGER_FILE, CampaignFolder
from search.results.ledger_entry import LedgerEntry
from search.results.readings import complete_ledger, preset_entry
from tests.helpers.campaigns import NAME, make_searched_campaign
from tests.helpers.market import random_bars

RESULTS = Path(__file__).parents[3] / "results"
NOW = "2026-11-25T00:00:00+00:00"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    random_bars(5000).frame.to_parquet(folder / "binance_BTCUSDT_5m.parquet")
    data = DataConfig(files=(folder / "binance_BTCUSDT_5m.parquet",))
    return make_searched_campaign(folder / "results", data).parent


def test_the_searches_of_early_versions_are_added_from_their_folders_once(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / NAME, tmp_path / NAME)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / CONFIG_FILE).write_text("{")
    for _ in range(2):
        (entry,) = complete_ledger(tmp_path)
    record = CampaignFolder(tmp_path / NAME).read_record()
    assert (entry.campaign, entry.started, entry.kind) == (NAME, record.started, "search")
    assert (entry.symbols, entry.folds) == (["BTCUSDT"], [])
    assert record.data.span[0] < entry.val[0] < entry.val[1] < entry.test[0] < entry.test[1]


def test_a_ledger_that_cannot_be_written_is_an_error(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[LedgerEntry]:
        raise ConfigError("ledger.jsonl cannot be written", "Free some space")

    shutil.copytree(root / NAME, tmp_path / NAME)
    monkeypatch.setattr(ledger, "append_entry", fail)
    with pytest.raises(ConfigError, match="cannot be written"):
        complete_ledger(tmp_path)


def test_a_campaign_on_the_synthetic_market_is_not_added(tmp_path: Path) -> None:
    make_searched_campaign(tmp_path / "results")
    assert complete_ledger(tmp_path / "results") == []


def test_the_shipped_ledger_holds_the_searches_of_the_shipped_campaigns(tmp_path: Path) -> None:
    entries = ledger.read_entries(RESULTS / LEDGER_FILE)
    confirmed = {entry.key[:2]: entry for entry in entries if entry.kind == "confirmation"}
    shutil.copytree(RESULTS, tmp_path / "results")
    assert complete_ledger(tmp_path / "results") == entries
    searches = [entry for entry in entries if entry.kind == "search"]
    assert {entry.key[:2] for entry in searches} == set(confirmed)
    for search in searches:
        of_confirmation = confirmed[search.key[:2]]
        assert (search.val, search.test) == (of_confirmation.val, of_confirmation.test)
        assert search.folds[0] < search.folds[1] <= search.val[0]


def _shipped_preset() -> Preset:
    return presets.load_preset("btc_eth_15m_8m")


def test_a_preset_brings_the_readings_of_its_campaign() -> None:
    entry = preset_entry(_shipped_preset(), NOW)
    assert entry is not None
    (recorded,) = [
        other
        for other in ledger.read_entries(RESULTS / LEDGER_FILE)
        if other.campaign == "btc-eth-15m-8m" and other.kind == "confirmation"
    ]
    assert (entry.kind, entry.read_at, entry.symbols) == ("preset", NOW, recorded.symbols)
    assert (entry.val, entry.test) == (recorded.val, recorded.test)


def test_a_preset_that_was_not_confirmed_has_not_read_its_test() -> None:
    preset = _shipped_preset()
    assert preset.provenance is not None
    searched = preset.model_copy(update={"provenance": preset.provenance.model_copy(update={"confirmation": None})})
    entry = preset_entry(searched, NOW)
    assert entry is not None
    assert (entry.kind, entry.folds) == ("search", [])


def test_a_preset_without_provenance_has_read_nothing() -> None:
    assert preset_entry(presets.load_preset("production_small"), NOW) is None
