from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from core.config import DataConfig
from core.data import cache, dataset
from core.data.dataset import Dataset, load_dataset
from core.data.sources import reader
from tests.helpers.market import random_bars


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRESET_SEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(dataset, "MIN_ROWS", 20)
    return tmp_path / "cache"


@pytest.fixture
def config(tmp_path: Path) -> DataConfig:
    path = tmp_path / "binance_BTCUSDT_5m.parquet"
    random_bars(1500).frame.to_parquet(path)
    return DataConfig(files=(path,), window=10, horizon=2)


def _assert_equal(first: Dataset, second: Dataset) -> None:
    for field in fields(Dataset):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        else:
            assert one == other
            assert type(one) is type(other)


def _count_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets an item whenever data are read to make a dataset."""
    reads: list[int] = []
    read_market = reader.read_market
    monkeypatch.setattr(reader, "read_market", lambda config: (reads.append(1), read_market(config))[1])
    return reads


def test_the_second_start_is_served_from_the_cache_and_is_equal(
    folder: Path, config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = _count_reads(monkeypatch)
    first, second = load_dataset(config), load_dataset(config)
    assert reads == [1]
    _assert_equal(first, second)
    assert len(list(folder.glob("*.npz"))) == 1


def test_another_file_or_setting_is_made_again(
    folder: Path, config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = _count_reads(monkeypatch)
    load_dataset(config)
    load_dataset(config.model_copy(update={"horizon": 3}))
    random_bars(1500, seed=1).frame.to_parquet(config.files[0])
    load_dataset(config)
    assert reads == [1, 1, 1]


def test_a_change_of_the_code_makes_it_again(folder: Path, config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache.cache_key("{}", config.files)
    monkeypatch.setattr(cache, "_source_digest", lambda: "another")
    assert cache.cache_key("{}", config.files) != before


@pytest.mark.parametrize("damage", ["truncated", "emptied", "other bytes", "an array", "other content", "a list"])
def test_a_damaged_entry_is_made_again(
    folder: Path, config: DataConfig, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    first = load_dataset(config)
    (entry,) = folder.glob("*.npz")
    content = entry.read_bytes()
    if damage == "truncated":
        entry.write_bytes(content[: len(content) // 2])
    elif damage == "emptied":
        entry.write_bytes(b"")
    elif damage == "an array":
        with entry.open("wb") as file:
            np.save(file, np.zeros(3))
    elif damage in ("other content", "a list"):
        with entry.open("wb") as file:
            np.savez(file, meta_json=np.array("{}" if damage == "other content" else "[]"))
    else:
        middle = len(content) // 2
        entry.write_bytes(content[:middle] + bytes(100) + content[middle + 100 :])
    reads = _count_reads(monkeypatch)
    _assert_equal(first, load_dataset(config))
    assert reads == [1]


@pytest.mark.parametrize("seed", range(3))
def test_no_single_byte_of_an_entry_can_stop_a_training(folder: Path, seed: int) -> None:
    """What a damaged archive raises is not documented: `File is encrypted`, for one, is a RuntimeError."""
    cache.write_cached("key", {"values": np.arange(50.0)}, {"a": 1})
    (entry,) = folder.glob("*.npz")
    content, rng = entry.read_bytes(), np.random.default_rng(seed)
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        entry.write_bytes(damaged)
        cache.read_cached("key")


def test_an_entry_is_never_unpickled(folder: Path, config: DataConfig) -> None:
    key = cache.cache_key("{}", config.files)
    assert key is not None
    folder.mkdir()
    np.savez(folder / f"{key}.npz", meta_json=np.array("{}"), evil=np.array([{"a": 1}], dtype=object))
    assert cache.read_cached(key) is None


def test_only_the_latest_entries_are_kept(folder: Path, config: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_ENTRIES", 2)
    for number in range(4):
        cache.write_cached(f"entry{number}", {"a": np.zeros(1)}, {"number": number})
    assert len(list(folder.glob("*.npz"))) == 2
    newest = cache.read_cached("entry3")
    assert newest is not None
    assert newest[1] == {"number": 3}


def test_datasets_and_fitted_models_do_not_displace_one_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_ENTRIES", 1)
    monkeypatch.setattr(cache, "MAX_FITS", 2)
    keys = [cache.fit_key("a model", [np.full(2, number)], "") for number in range(3)]
    cache.write_cached("dataset", {"a": np.zeros(1)}, {})
    for key in keys:
        cache.write_cached(key, {"a": np.zeros(1)}, {})
    assert [cache.read_cached(key) is not None for key in ("dataset", *keys)] == [True, False, True, True]


def test_the_key_of_a_model_covers_all_that_it_is_fitted_to() -> None:
    arrays, settings = [np.zeros(2), np.ones(3)], "3"
    key = cache.fit_key("a", arrays, settings)
    assert key == cache.fit_key("a", [np.zeros(2), np.ones(3)], settings)
    others = [
        cache.fit_key("b", arrays, settings),
        cache.fit_key("a", arrays, "4"),
        cache.fit_key("a", [np.zeros(2), np.zeros(3)], settings),
        cache.fit_key("a", [np.zeros((2, 1)), np.ones(3)], settings),
        cache.fit_key("a", [np.zeros(2, dtype=np.int64), np.ones(3)], settings),
        cache.fit_key("a", arrays[:1], settings),
    ]
    assert key not in others
    assert len(set(others)) == len(others)


def test_it_can_be_switched_off(config: DataConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESET_SEARCH_CACHE", "")
    assert cache.cache_key("{}", config.files) is None
    load_dataset(config)
    assert not folder.exists()


def test_a_cache_that_cannot_be_written_does_no_harm(
    tmp_path: Path, config: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PRESET_SEARCH_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(dataset, "MIN_ROWS", 20)
    assert len(load_dataset(config).train) > 0
