from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.config import DataConfig
from core.data.sources.store import FetchRange, missing_ranges
from core.errors import ConfigError, DataError
from tests.helpers.market import random_bars

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
    assert missing_ranges(_config(_store(tmp_path, AAA=288 * 3 + 1), "AAA", days=3.0), NOW) == []


def test_days_end_at_the_newest_instant_common_to_all(tmp_path: Path) -> None:
    _store(tmp_path, AAA=288 * 5, BBB=288 * 3 + 1)
    assert missing_ranges(_config(tmp_path, "AAA", "BBB", days=3.0), NOW) == []
    end = START + timedelta(days=3)
    assert missing_ranges(_config(tmp_path, "AAA", "BBB", days=4.0), NOW) == [
        FetchRange("binance", "AAA", end - timedelta(days=4), end),
        FetchRange("binance", "BBB", end - timedelta(days=4), end),
    ]


def test_a_symbol_without_a_file_is_lacking_up_to_now(tmp_path: Path) -> None:
    assert missing_ranges(_config(tmp_path, "AAA", days=2.0), NOW) == [
        FetchRange("binance", "AAA", NOW - timedelta(days=2), NOW)
    ]


def test_an_end_beyond_the_file_is_lacking(tmp_path: Path) -> None:
    until = START + timedelta(days=4)
    config = _config(_store(tmp_path, AAA=288 * 3 + 1), "AAA", days=2.0, until=until)
    assert missing_ranges(config, NOW) == [FetchRange("binance", "AAA", until - timedelta(days=2), until)]


def test_without_days_all_that_is_there_is_enough(tmp_path: Path) -> None:
    _store(tmp_path, AAA=10)
    assert missing_ranges(_config(tmp_path, "AAA"), NOW) == []
    with pytest.raises(ConfigError, match="Say how many days to fetch"):
        missing_ranges(_config(tmp_path, "AAA", "BBB"), NOW)


def test_a_file_that_cannot_be_read_is_left_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "binance_AAA_5m.parquet").write_text("no parquet")
    assert missing_ranges(_config(tmp_path, "AAA", days=2.0), NOW) == []


def test_the_last_bar_of_a_file_of_unknown_origin_does_not_count(tmp_path: Path) -> None:
    # The reader drops it: it may have been open.
    assert missing_ranges(_config(_store(tmp_path, AAA=288 * 3), "AAA", days=3.0), NOW) != []


def _fetched(folder: Path, *spans: tuple[int, int]) -> None:
    """A file that was fetched in these spans, in days from `START`."""
    frame = random_bars(288 * 10).frame
    days = (frame["timestamp"] - START) / pd.Timedelta(days=1)
    held = pd.concat([frame[(days >= first) & (days < last)] for first, last in spans])
    table = pa.Table.from_pandas(held, preserve_index=False)
    milliseconds = [[int((START + timedelta(days=day)).timestamp() * 1000) for day in span] for span in spans]
    metadata = {b"preset_search.complete": b"true", b"preset_search.covered": json.dumps(milliseconds).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), folder / "binance_AAA_5m.parquet")


def test_a_hole_that_was_never_asked_for_is_lacking(tmp_path: Path) -> None:
    _fetched(tmp_path, (0, 2), (5, 10))
    end = START + timedelta(days=10)
    assert missing_ranges(_config(tmp_path, "AAA", days=5.0), NOW) == []
    assert missing_ranges(_config(tmp_path, "AAA", days=8.0), NOW) == [
        FetchRange("binance", "AAA", end - timedelta(days=8), end)
    ]


def test_what_is_lacking_comes_from_the_exchange_whose_file_is_held(tmp_path: Path) -> None:
    random_bars(288 * 2).frame.to_parquet(tmp_path / "kraken_AAA_5m.parquet")
    (piece,) = missing_ranges(_config(tmp_path, "AAA", days=9.0), NOW)
    assert piece.exchange == "kraken"
    random_bars(288 * 2).frame.to_parquet(tmp_path / "binance_AAA_5m.parquet")
    with pytest.raises(DataError, match="from several exchanges"):
        missing_ranges(_config(tmp_path, "AAA", days=9.0), NOW)
    (chosen,) = missing_ranges(_config(tmp_path, "AAA", days=9.0, exchange="binance"), NOW)
    assert chosen.exchange == "binance"
