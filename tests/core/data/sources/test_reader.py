"""A source of data is read as the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config import DataConfig, SyntheticConfig
from core.data.dataset import load_dataset
from core.data.sources.reader import bar_files
from core.errors import ConfigError
from tests.helpers.market import WINDOW, market_config, random_bars


def test_the_span_is_that_of_the_bars() -> None:
    dataset = load_dataset(market_config())
    assert dataset.span == ("2024-01-01T00:00:00+00:00", "2024-01-14T21:15:00+00:00")
    assert dataset.is_synthetic


def _store(folder: Path, *symbols: str) -> Path:
    for seed, symbol in enumerate(symbols):
        random_bars(4100 + 50 * seed, seed, symbol).frame.to_parquet(folder / f"binance_{symbol}_5m.parquet")
    return folder


def test_bars_come_from_files_or_the_store_alike(tmp_path: Path) -> None:
    store = _store(tmp_path, "BTCUSDT", "ETHUSDT")
    named = load_dataset(DataConfig(symbols=("BTCUSDT", "ETHUSDT"), store=store, window=WINDOW, days=14))
    files = tuple(store / f"binance_{symbol}_5m.parquet" for symbol in ("BTCUSDT", "ETHUSDT"))
    listed = load_dataset(DataConfig(files=files, window=WINDOW, days=14))
    assert named.fingerprint == listed.fingerprint
    assert named.symbol_names == ("BTCUSDT", "ETHUSDT")
    assert not named.is_synthetic
    assert len(named.timestamps) == 2 * 14 * 288


def test_the_synthetic_market_can_be_cut_to_days() -> None:
    config = DataConfig(synthetic=SyntheticConfig(bars=6000), window=WINDOW, days=14)
    assert len(load_dataset(config).timestamps) == 14 * 288


def test_a_glob_means_the_files_that_match_it(tmp_path: Path) -> None:
    store = _store(tmp_path, "BTCUSDT", "ETHUSDT")
    config = DataConfig(files=(store / "*_5m.parquet", store / "binance_BTC*"))
    assert bar_files(config) == [store / f"binance_{symbol}_5m.parquet" for symbol in ("BTCUSDT", "ETHUSDT")]
    (tmp_path / "odd[1]").mkdir()
    odd = (tmp_path / "binance_ETHUSDT_5m.parquet").rename(tmp_path / "odd[1]" / "binance_ETHUSDT_5m.parquet")
    assert bar_files(DataConfig(files=(odd,))) == [odd]  # a name that exists is no glob
    with pytest.raises(ConfigError, match=r"No file matches .*nothing_\*"):
        bar_files(DataConfig(files=(store / "nothing_*",)))
