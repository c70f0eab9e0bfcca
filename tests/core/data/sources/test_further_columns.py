"""Columns of the user's own stay in a file to which bars are added, and end where they end."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.config import DataConfig
from core.data.bars import read_unchecked
from core.data.file_format import datetime_microseconds
from core.data.sources import fetch
from core.data.sources.exchange import ExchangeClient
from core.data.sources.fetch import fetch_bars
from core.data.sources.further_columns import attach_columns, describe_ends, split_columns
from core.data.sources.reader import read_bars
from core.data.sources.store import FetchRange, add_to_store
from core.data.summary import check_file
from core.errors import DataError
from tests.helpers.exchange_server import ExchangeServer, answer
from tests.helpers.fetching import NAME, OHLCV, assert_bars, at, covered, expected, held, starts, when

TYPES = {
    "funding": pa.float32(),
    "note": pa.string(),
    "kind": pa.dictionary(pa.int32(), pa.string()),
    "count": pa.int16(),
    "is_listed": pa.bool_(),
    "settled": pa.timestamp("ns", tz="Europe/Berlin"),
    "levels": pa.list_(pa.int64()),
}


def _values(index: int) -> dict[str, Any]:
    return {
        "funding": index / 4,
        "note": f"bar {index}",
        "kind": "odd" if index % 2 else "even",
        "count": index,
        "is_listed": index % 3 == 0,
        "settled": datetime.datetime.fromtimestamp(at(index) / 1000, datetime.UTC),
        "levels": [index, index + 1],
    }


def _write(path: Path, indices: range, *names: str, metadata: dict[bytes, bytes] | None = None) -> None:
    """Write a file of bars in float32 with some of the further columns."""
    bars = expected(indices).astype(dict.fromkeys(OHLCV, "float32"))
    table = pa.Table.from_pandas(bars, preserve_index=False)
    for name in names:
        table = table.append_column(name, pa.array([_values(index)[name] for index in indices], TYPES[name]))
    pq.write_table(table.replace_schema_metadata(metadata), path)


def _rows(path: Path) -> list[dict[str, Any]]:
    return pq.read_table(path, columns=list(TYPES)).to_pylist()


MISSING = dict.fromkeys(TYPES)


def test_bars_are_added_and_further_columns_keep_values_and_types(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    _write(tmp_path / NAME, range(10, 15), *TYPES)
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(5), when(20))
    pd.testing.assert_frame_equal(held(path)[expected(range(5)).columns], expected(range(5, 20)))
    assert {name: pq.read_schema(path).field(name).type for name in TYPES} == TYPES
    # The last bar may have been open, and is fetched again; what the user says of it stays.
    own = [_values(index) for index in range(10, 15)]
    assert _rows(path) == [MISSING] * 5 + own + [MISSING] * 5
    assert exchange.asked() == starts(5, 14)
    before = path.read_bytes()
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(5), when(20))
    assert path.read_bytes() == before
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(5), when(25))
    assert _rows(path) == [MISSING] * 5 + own + [MISSING] * 10


def test_where_columns_end_is_said(
    tmp_path: Path, client: ExchangeClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(tmp_path / NAME, range(10, 15), "funding", "note", metadata={b"preset_search.complete": b"true"})
    monkeypatch.setattr(fetch, "ExchangeClient", lambda name: client)
    fetch.fetch_ranges(tmp_path, "5m", [FetchRange("binance", "BTCUSDT", when(10), when(20))])
    printed = " ".join(capsys.readouterr().err.split())
    assert f"{NAME}: funding, note end at 2023-11-14T23:25:00+00:00; 5 later bars have no value" in printed


def test_columns_that_end_at_several_bars_are_said_apart(tmp_path: Path) -> None:
    frame = expected(range(6)).assign(
        a=[1.0] * 3 + [None] * 3, b="x", c=[None] * 6, d=[None, 1, None, None, None, None]
    )
    frame.to_parquet(tmp_path / NAME)
    assert [sentence.partition(": ")[2] for sentence in describe_ends(tmp_path / NAME)] == [
        "d ends at 2023-11-14T22:20:00+00:00; 4 later bars have no value",
        "a ends at 2023-11-14T22:25:00+00:00; 3 later bars have no value",
    ]


def test_an_index_of_pandas_is_no_further_column(tmp_path: Path, client: ExchangeClient) -> None:
    expected(range(10, 15)).set_axis([4, 5, 6, 7, 9]).to_parquet(tmp_path / NAME)
    assert "__index_level_0__" in pq.read_schema(tmp_path / NAME).names
    assert split_columns(pq.read_schema(tmp_path / NAME).names)[1] == []
    assert_bars(fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(8), when(20)), range(8, 20))


def test_columns_of_a_file_without_rows_are_missing_everywhere() -> None:
    bars = pa.table({"timestamp": pa.array([1, 2], pa.timestamp("ms", "UTC"))})
    empty = pa.table({"timestamp": pa.array([], pa.timestamp("ns", "UTC")), "note": pa.array([], pa.string())})
    assert attach_columns(bars, empty)["note"].to_pylist() == [None, None]


def test_a_column_that_must_not_be_missing_may_be_missing_in_new_bars() -> None:
    field = pa.field("note", pa.string(), nullable=False)
    instants = pa.array([1], pa.timestamp("ms", "UTC"))
    table = pa.table([instants, ["x"]], schema=pa.schema([("timestamp", instants.type), field]))
    bars = pa.table({"timestamp": pa.array([1, 2], pa.timestamp("ms", "UTC"))})
    assert attach_columns(bars, table).schema.field("note").nullable


@pytest.mark.parametrize("reached", [7, 15])
def test_a_last_bar_that_was_not_fetched_again_is_kept_as_one_that_may_be_open(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient, reached: int
) -> None:
    _write(tmp_path / NAME, range(10, 15), *TYPES)
    del exchange.klines[at(8)]
    exchange.faults |= {("klines", number): answer(b"", 451) for number in range(2, 9)}
    if reached == 7:
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(8), when(10))
    else:
        with pytest.raises(DataError, match="refuses"):
            fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(8), when(20))
    path = tmp_path / NAME
    assert read_unchecked(path)[1] is False
    assert covered(path) == [[8, 14]]
    assert _rows(path) == [MISSING] + [_values(index) for index in range(10, 15)]
    exchange.faults.clear()
    exchange.seen.clear()
    fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(8), when(20))
    assert exchange.asked() == starts(14)
    pd.testing.assert_frame_equal(held(path)[expected(range(5)).columns], expected(range(9, 20)))
    assert read_unchecked(path)[1] is True
    assert _rows(path)[5] == _values(14)


def test_a_file_is_left_as_it_is_if_nothing_could_be_fetched(
    tmp_path: Path, exchange: ExchangeServer, client: ExchangeClient
) -> None:
    _write(tmp_path / NAME, range(10, 15), "note")
    before = (tmp_path / NAME).read_bytes()
    exchange.always["klines"] = answer(b"", 451)
    with pytest.raises(DataError, match="refuses"):
        fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(10), when(20))
    assert (tmp_path / NAME).read_bytes() == before


def test_a_named_column_that_ends_says_what_to_do_and_is_read_up_to_its_end(
    tmp_path: Path, client: ExchangeClient
) -> None:
    _write(tmp_path / NAME, range(10, 30), "funding", metadata={b"preset_search.complete": b"true"})
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(10))
    config = DataConfig(files=(path,), features=("funding",))
    assert len(read_bars(config.model_copy(update={"features": ()}))[0].frame) == 25
    remedy = "funding ends there: fill it up to date in the file, or use only the bars before with --until"
    problem = "row 20 (2023-11-15 00:45:00+00:00) has no finite funding"
    with pytest.raises(DataError) as raised:
        read_bars(config)
    assert str(raised.value) == f"{path}: {problem}. {remedy}."
    content = read_unchecked(path, ["funding"])[0]
    assert check_file(path, content).problems == (f"{problem}, and 4 more. {remedy}.",)

    end = datetime.datetime(2023, 11, 15, 0, 45, tzinfo=datetime.UTC)
    (bars,) = read_bars(config.model_copy(update={"until": end}))
    assert list(bars.frame["funding"]) == [index / 4 for index in range(10, 30)]
    assert check_file(path, content, until=datetime_microseconds(end)).problems == ()
    with pytest.raises(DataError, match="has no finite funding"):
        read_bars(config.model_copy(update={"until": end + datetime.timedelta(minutes=5)}))


def test_a_held_column_needs_values_only_up_to_the_end_asked_for(tmp_path: Path, client: ExchangeClient) -> None:
    _write(tmp_path / NAME, range(10, 30), "funding", metadata={b"preset_search.complete": b"true"})
    path = fetch_bars(tmp_path, client, "BTCUSDT", "5m", when(10))
    config = DataConfig.model_validate({"files": (path,), "features": {"funding": {"hold": "10m"}}})
    with pytest.raises(DataError, match=r"funding has had no value for .*, or use only the bars before with --until\."):
        read_bars(config)
    end = datetime.datetime(2023, 11, 15, 0, 50, tzinfo=datetime.UTC)
    (bars,) = read_bars(config.model_copy(update={"until": end}))
    assert list(bars.frame["funding"].tail(2)) == [29 / 4, 29 / 4]


def test_an_import_keeps_the_further_columns_of_the_store(tmp_path: Path) -> None:
    _write(tmp_path / NAME, range(10, 15), *TYPES)
    expected(range(13, 20)).to_parquet(tmp_path / "other_BTCUSDT_5m.parquet")
    imported = read_unchecked(tmp_path / "other_BTCUSDT_5m.parquet")[0]
    bars = type(imported)("binance", "BTCUSDT", "5m", imported.frame)
    path, joined = add_to_store(tmp_path, bars)
    assert len(joined.frame) == 10
    assert {name: pq.read_schema(path).field(name).type for name in TYPES} == TYPES
    assert _rows(path) == [_values(index) for index in range(10, 15)] + [MISSING] * 5
    before = path.read_bytes()
    add_to_store(tmp_path, bars)
    assert path.read_bytes() == before


def test_an_import_that_lacks_a_column_of_the_stored_bars_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / NAME, range(10, 15), "note")
    before = (tmp_path / NAME).read_bytes()
    bars = read_unchecked(tmp_path / NAME)[0]
    poorer = type(bars)("binance", "BTCUSDT", "5m", bars.frame[["timestamp", *OHLCV]])
    with pytest.raises(DataError, match=r"has the column\(s\) quote_volume, .*, which would be lost.*--store DIR"):
        add_to_store(tmp_path, poorer)
    assert (tmp_path / NAME).read_bytes() == before
