from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.config import DataConfig
from core.errors import ConfigError
from core.market.store import lacking
from tests.core.samples import random_bars

NOW = datetime(2024, 6, 1, tzinfo=UTC)
START = datetime(2024, 3, 1, tzinfo=UTC)
"""When `random_bars` begin."""


def _store(folder: Path, **bars: int) -> Path:
    for symbol, count in bars.items():
        random_bars(count).frame.to_parquet(folder / f"binance_{symbol}_5m.parquet")
    return folder


def _config(store: Path, *symbols: str, **changes: Any) -> DataConfig:
    return DataConfig(symbols=symbols, store=store, **changes)


def test_a_store_that_holds_the_days_asked_for_lacks_nothing(tmp_path: Path) -> None:
    assert lacking(_config(_store(tmp_path, AAA=288 * 3), "AAA", days=3.0), NOW) == []


def test_days_end_at_the_newest_instant_common_to_all(tmp_path: Path) -> None:
    _store(tmp_path, AAA=288 * 5, BBB=288 * 3)
    assert lacking(_config(tmp_path, "AAA", "BBB", days=3.0), NOW) == []
    end = START + timedelta(days=3)
    assert lacking(_config(tmp_path, "AAA", "BBB", days=4.0), NOW) == [
        ("AAA", end - timedelta(days=4), end),
        ("BBB", end - timedelta(days=4), end),
    ]


def test_a_symbol_without_a_file_is_lacking_up_to_now(tmp_path: Path) -> None:
    assert lacking(_config(tmp_path, "AAA", days=2.0), NOW) == [("AAA", NOW - timedelta(days=2), NOW)]


def test_an_end_beyond_the_file_is_lacking(tmp_path: Path) -> None:
    until = START + timedelta(days=4)
    config = _config(_store(tmp_path, AAA=288 * 3), "AAA", days=2.0, until=until)
    assert lacking(config, NOW) == [("AAA", until - timedelta(days=2), until)]


def test_without_days_all_that_is_there_is_enough(tmp_path: Path) -> None:
    _store(tmp_path, AAA=10)
    assert lacking(_config(tmp_path, "AAA"), NOW) == []
    with pytest.raises(ConfigError, match="Say how many days to fetch"):
        lacking(_config(tmp_path, "AAA", "BBB"), NOW)


def test_a_file_that_cannot_be_read_is_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "binance_AAA_5m.parquet").write_text("no parquet")
    assert lacking(_config(tmp_path, "AAA", days=2.0), NOW) == []
