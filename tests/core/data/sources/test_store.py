from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.config import DataConfig
from core.data.bars import Bars
from core.data.file_format import DAY
from core.data.sources import store as store_module
from core.data.sources.store import (
    FetchRange,
    add_to_store,
    covered_metadata,
    find_in_store,
    locked,
    missing_ranges,
    read_covered,
)
from core.errors import ConfigError, DataError
from tests.helpers.market import MARCH, random_bars

START = MARCH
"""When `random_bars` begin, in microseconds since 1970."""
NOW = START + 92 * DAY
MINUTE = 60_000_000


def _store(folder: Path, **bars: int) -> Path:
    for symbol, count in bars.items():
        random_bars(count).frame.to_parquet(folder / f"binance_{symbol}_5m.parquet")
    return folder


def _config(store: Path, *symbols: str, **changes: Any) -> DataConfig:
    return DataConfig(symbols=symbols, store=store, **changes)


def test_nothing_is_missing_of_days_that_the_store_holds(tmp_path: Path) -> None:
    assert missing_ranges(_config(_store(tmp_path, AAA=288 * 3 + 1), "AAA", days=3.0), NOW) == []


def test_days_end_at_the_newest_instant_common_to_all(tmp_path: Path) -> None:
    _store(tmp_path, AAA=288 * 5, BBB=288 * 3 + 1)
    assert missing_ranges(_config(tmp_path, "AAA", "BBB", days=3.0), NOW) == []
    end = START + 3 * DAY
    assert missing_ranges(_config(tmp_path, "AAA", "BBB", days=4.0), NOW) == [
        FetchRange("binance", "AAA", end - 4 * DAY, end),
        FetchRange("binance", "BBB", end - 4 * DAY, end),
    ]


def test_a_symbol_without_a_file_is_missing_up_to_now(tmp_path: Path) -> None:
    assert missing_ranges(_config(tmp_path, "AAA", days=2.0), NOW) == [FetchRange("binance", "AAA", NOW - 2 * DAY, NOW)]


def test_an_end_beyond_the_file_is_missing(tmp_path: Path) -> None:
    until = datetime(2024, 3, 5, tzinfo=UTC)
    config = _config(_store(tmp_path, AAA=288 * 3 + 1), "AAA", days=2.0, until=until)
    assert missing_ranges(config, NOW) == [FetchRange("binance", "AAA", START + 2 * DAY, START + 4 * DAY)]


def test_up_to_now_days_end_with_the_last_bar_that_has_closed(tmp_path: Path) -> None:
    _store(tmp_path, AAA=288 * 5 + 1)
    late = NOW + 7 * MINUTE
    end = NOW + 5 * MINUTE
    config = _config(tmp_path, "AAA", "BBB", days=3.0)
    assert missing_ranges(config, late, up_to_now=True) == [
        FetchRange("binance", "AAA", end - 3 * DAY, end),
        FetchRange("binance", "BBB", end - 3 * DAY, end),
    ]
    soon = START + 5 * DAY + 4 * MINUTE  # the next bar is still open
    assert missing_ranges(_config(tmp_path, "AAA", days=3.0), soon, up_to_now=True) == []
    until = datetime(2024, 3, 5, tzinfo=UTC)
    assert missing_ranges(_config(tmp_path, "AAA", days=3.0, until=until), late, up_to_now=True) == []


def test_up_to_now_without_days_files_are_continued_from_their_ends(tmp_path: Path) -> None:
    _store(tmp_path, AAA=288 * 5 + 1, BBB=288 * 3 + 1)
    config = _config(tmp_path, "AAA", "BBB")
    assert missing_ranges(config, NOW + 1, up_to_now=True) == [
        FetchRange("binance", "AAA", START + 5 * DAY, NOW),
        FetchRange("binance", "BBB", START + 3 * DAY, NOW),
    ]
    (missing,) = missing_ranges(config, START + 4 * DAY, up_to_now=True)
    assert missing.symbol == "BBB"
    until = datetime(2024, 3, 3, tzinfo=UTC)
    assert missing_ranges(_config(tmp_path, "AAA", until=until), NOW, up_to_now=True) == []
    with pytest.raises(ConfigError, match="Say how many days to fetch"):
        missing_ranges(_config(tmp_path, "AAA", "CCC"), NOW, up_to_now=True)


def test_without_days_any_file_is_enough(tmp_path: Path) -> None:
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
    """Write a file as if it had been fetched in these spans, in days from `START`."""
    frame = random_bars(288 * 10).frame
    days = (frame["timestamp"] - frame["timestamp"].iloc[0]) / pd.Timedelta(days=1)
    held = pd.concat([frame[(days >= first) & (days < last)] for first, last in spans])
    table = pa.Table.from_pandas(held, preserve_index=False)
    milliseconds = [[(START + day * DAY) // 1000 for day in span] for span in spans]
    metadata = {b"preset_search.complete": b"true", b"preset_search.covered": json.dumps(milliseconds).encode()}
    pq.write_table(table.replace_schema_metadata(metadata), folder / "binance_AAA_5m.parquet")


def test_a_hole_that_was_never_asked_for_is_missing(tmp_path: Path) -> None:
    _fetched(tmp_path, (0, 2), (5, 10))
    end = START + 10 * DAY
    assert missing_ranges(_config(tmp_path, "AAA", days=5.0), NOW) == []
    assert missing_ranges(_config(tmp_path, "AAA", days=8.0), NOW) == [FetchRange("binance", "AAA", end - 8 * DAY, end)]


def test_missing_bars_come_from_the_exchange_whose_file_is_held(tmp_path: Path) -> None:
    random_bars(288 * 2).frame.to_parquet(tmp_path / "kraken_AAA_5m.parquet")
    (missing,) = missing_ranges(_config(tmp_path, "AAA", days=9.0), NOW)
    assert missing.exchange == "kraken"
    random_bars(288 * 2).frame.to_parquet(tmp_path / "binance_AAA_5m.parquet")
    with pytest.raises(DataError, match="has several files"):
        missing_ranges(_config(tmp_path, "AAA", days=9.0), NOW)
    (missing,) = missing_ranges(_config(tmp_path, "AAA", days=9.0, exchange="binance"), NOW)
    assert missing.exchange == "binance"


def test_the_spans_asked_for_are_stored_in_milliseconds() -> None:
    spans = [(START, START + DAY), (START + 2 * DAY, START + 3 * DAY)]
    metadata = covered_metadata(spans)
    assert json.loads(metadata[b"preset_search.covered"])[0] == [1_709_251_200_000, 1_709_337_600_000]
    assert read_covered(metadata) == spans
    assert read_covered({}) == []


def _files(folder: Path, *names: str) -> Path:
    for name in names:
        random_bars(2).frame.to_parquet(folder / name)
    return folder


def test_the_store_is_searched_by_symbol_interval_and_exchange(tmp_path: Path) -> None:
    names = ["binance_BTCUSDT_5m.parquet", "kraken_BTCUSDT_5m.parquet", "binance_BTCUSDT_15m.parquet"]
    store = _files(tmp_path, *names, "binance_ETHUSDT_5m.parquet", "binance_X_BTCUSDT_5m.parquet")
    assert find_in_store(store, ["ETHUSDT"], "5m", None) == [store / "binance_ETHUSDT_5m.parquet"]
    assert find_in_store(store, ["BTCUSDT"], "15m", None) == [store / "binance_BTCUSDT_15m.parquet"]
    paths = find_in_store(store, ["ETHUSDT", "BTCUSDT"], "5m", "binance")
    assert [path.name for path in paths] == ["binance_ETHUSDT_5m.parquet", "binance_BTCUSDT_5m.parquet"]


@pytest.mark.parametrize("symbol", ["ETHUSDT", "*", "**", "../BTCUSDT", "[A-Z]*", ""])
def test_a_symbol_the_store_lacks_is_named_with_the_file_to_add(tmp_path: Path, symbol: str) -> None:
    store = _files(tmp_path, "binance_BTCUSDT_5m.parquet")
    with pytest.raises(DataError) as caught:
        find_in_store(store, [symbol], "5m", None)
    assert f"has no 5m bars of {symbol}" in caught.value.what
    assert f"<exchange>_{symbol}_5m.parquet" in caught.value.remedy


def test_several_exchanges_need_a_choice(tmp_path: Path) -> None:
    store = _files(tmp_path, "binance_BTCUSDT_5m.parquet", "kraken_BTCUSDT_5m.parquet")
    with pytest.raises(DataError, match=r"binance_BTCUSDT_5m\.parquet, kraken_BTCUSDT_5m\.parquet") as caught:
        find_in_store(store, ["BTCUSDT"], "5m", None)
    assert "--exchange" in caught.value.remedy


def test_two_spellings_of_an_interval_side_by_side_are_refused_wherever_bars_are_read_or_written(
    tmp_path: Path,
) -> None:
    bars = random_bars(20, symbol="BTCUSDT", interval="1h")
    for spelling in ("60m", "1h"):
        bars.frame.to_parquet(tmp_path / f"binance_BTCUSDT_{spelling}.parquet")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    config = DataConfig(symbols=("BTCUSDT",), interval="60m", store=tmp_path, exchange="binance", days=1)
    reads: list[Callable[[], object]] = [
        lambda: find_in_store(tmp_path, ["BTCUSDT"], "1h", "binance"),
        lambda: missing_ranges(config, NOW),
        lambda: add_to_store(tmp_path, bars),
    ]
    for read in reads:
        with pytest.raises(DataError) as caught:
            read()
        assert "binance_BTCUSDT_1h.parquet, binance_BTCUSDT_60m.parquet" in caught.value.what
        assert caught.value.remedy.startswith("Keep one of each exchange in the store")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_bars_are_added_to_the_file_that_spells_their_interval_in_another_way(tmp_path: Path) -> None:
    bars = random_bars(20, symbol="BTCUSDT", interval="1h")
    bars.frame[:10].to_parquet(tmp_path / "binance_BTCUSDT_60m.parquet")
    path, joined = add_to_store(tmp_path, bars)
    assert (path.name, len(joined.frame)) == ("binance_BTCUSDT_60m.parquet", 20)
    assert [item.name for item in tmp_path.glob("*.parquet")] == [path.name]
    (tmp_path / "new").mkdir()
    path, _ = add_to_store(tmp_path / "new", replace(bars, interval="60m"))
    assert path.name == "binance_BTCUSDT_1h.parquet"


def test_a_store_that_is_not_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        find_in_store(tmp_path / "nowhere", ["BTCUSDT"], "5m", None)


def _part(first: float, last: float) -> Bars:
    """Return the bars of a part of ten days, from one day to another."""
    bars = random_bars(288 * 10, symbol="AAA")
    return replace(bars, frame=bars.frame.iloc[round(first * 288) : round(last * 288)].reset_index(drop=True))


def _spans_in_days(path: Path) -> list[tuple[float, float]]:
    spans = read_covered(pq.read_schema(path).metadata)
    return [((start - START) / DAY, (end - START) / DAY) for start, end in spans]


def test_an_import_keeps_what_was_fetched_and_covers_only_its_own_parts(tmp_path: Path) -> None:
    _fetched(tmp_path, (0, 2), (5, 6))
    path, _ = add_to_store(tmp_path, _part(1, 2))
    assert pq.read_schema(path).metadata[b"preset_search.complete"] == b"true"
    assert _spans_in_days(path) == [(0, 2), (5, 6)]
    add_to_store(tmp_path, _part(7, 8))
    assert pq.read_schema(path).metadata[b"preset_search.complete"] == b"false"
    assert _spans_in_days(path) == [(0, 2), (5, 6), (7, pytest.approx(8 - 1 / 288))]  # the last bar may be open
    until = datetime(2024, 3, 8, tzinfo=UTC)
    assert missing_ranges(_config(tmp_path, "AAA", days=1.0, until=until), NOW) != []


def test_the_gap_between_two_imported_months_can_be_fetched_later(tmp_path: Path) -> None:
    both = _part(0, 6)
    opened = both.opened
    is_held = (opened < START + 2 * DAY) | (opened >= START + 4 * DAY)
    both = replace(both, frame=both.frame[is_held].reset_index(drop=True))
    path, _ = add_to_store(tmp_path, both, [(START, START + 2 * DAY), (START + 4 * DAY, START + 6 * DAY)])
    assert _spans_in_days(path) == [(0, 2), (4, pytest.approx(6 - 1 / 288))]
    until = datetime(2024, 3, 6, tzinfo=UTC)
    assert missing_ranges(_config(tmp_path, "AAA", days=1.0, until=until), NOW) == []
    (missing,) = missing_ranges(_config(tmp_path, "AAA", days=4.0, until=until), NOW)
    assert missing.start == START + DAY


def test_an_import_reads_and_writes_its_file_under_the_lock_of_a_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = add_to_store(tmp_path, _part(0, 1))
    with locked(path), pytest.raises(ConfigError, match="is being written by another process"):
        add_to_store(tmp_path, _part(1, 2))
    refusals = []

    def import_too(*names: Any) -> Any:
        with pytest.raises(ConfigError, match="is being written by another process"):
            add_to_store(tmp_path, _part(2, 3))
        refusals.append(names)
        return read(*names)

    read = store_module.read_unchecked
    monkeypatch.setattr(store_module, "read_unchecked", import_too)
    add_to_store(tmp_path, _part(1, 2))
    assert len(refusals) == 1
    monkeypatch.undo()
    add_to_store(tmp_path, _part(2, 3))
    assert len(pd.read_parquet(path)) == 3 * 288


@pytest.mark.parametrize("complete", [False, True])
def test_only_a_last_bar_that_may_have_been_open_is_replaced(tmp_path: Path, complete: bool) -> None:
    path, _ = add_to_store(tmp_path, _part(0, 1))
    table = pq.read_table(path).append_column("note", pa.array(["mine"] * 288))
    marks = {b"preset_search.complete": b"true" if complete else b"false"}
    pq.write_table(table.replace_schema_metadata(marks), path)
    bars = _part(0, 1)
    bars.frame.loc[287, "volume"] += 1.0
    replaced: list[int] = []
    if complete:
        with pytest.raises(DataError, match="Two files have different bars of AAA"):
            add_to_store(tmp_path, bars, on_replaced=replaced.append)
    else:
        add_to_store(tmp_path, bars, on_replaced=replaced.append)
        held = pd.read_parquet(path)
        assert held["volume"].tolist() == bars.frame["volume"].tolist()
        assert held["note"].tolist() == ["mine"] * 288
    assert replaced == ([] if complete else [int(bars.opened[-1])])
