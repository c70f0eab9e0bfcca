"""Bars are imported from files as exchanges and programs of this field write them."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.bars import Bars
from core.data.file_format import REQUIRED, TAKER_FLOW
from core.data.sources import archive
from core.data.sources.archive import ImportedPart, import_bars
from core.data.sources.file_names import list_files
from core.errors import DataError
from tests.helpers.market import random_bars

BARS = random_bars(40).frame
SECONDS = BARS["timestamp"].to_numpy("datetime64[s]").astype(np.int64)
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)


def _import(
    *paths: Path, interval: str = "5m", columns: dict[str, str] | None = None
) -> tuple[Bars, list[ImportedPart]]:
    return import_bars(list_files(paths).files, "binance", "BTCUSDT", interval, columns)


def _klines(factor: int, rows: slice = slice(None), header: bool = False) -> str:
    """Return klines as Binance archives them, with times in seconds multiplied by a factor."""
    lines = [
        f"{opened * factor},{bar.open!r},{bar.high!r},{bar.low!r},{bar.close!r},{bar.volume!r},"
        f"{(opened + 300) * factor - 1},{bar.volume * bar.close!r},7,{bar.volume / 2!r},"
        f"{bar.volume * bar.close / 2!r},0"
        for opened, bar in zip(SECONDS[rows].tolist(), BARS[rows].itertuples(), strict=True)
    ]
    return "\n".join([HEADER, *lines] if header else lines) + "\n"


def _zip(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(f"{name}.csv", text)
    return buffer.getvalue()


def _assert_bars(bars: Bars, rows: slice = slice(None)) -> None:
    expected = BARS[rows].reset_index(drop=True)
    got = bars.frame[list(REQUIRED)].astype({"timestamp": "datetime64[us, UTC]"})
    pd.testing.assert_frame_equal(
        got, expected[list(REQUIRED)].astype({"timestamp": "datetime64[us, UTC]"}), check_exact=False, rtol=1e-12
    )


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize(
    ("factor", "unit"), [(1, "seconds"), (1000, "milliseconds"), (1_000_000, "microseconds"), (10**9, "nanoseconds")]
)
def test_klines_of_binance_are_read_in_every_unit_of_time(tmp_path: Path, factor: int, unit: str, header: bool) -> None:
    (tmp_path / "BTCUSDT-5m-2024-03.csv").write_text(_klines(factor, header=header))
    bars, (part,) = _import(tmp_path / "BTCUSDT-5m-2024-03.csv")
    _assert_bars(bars)
    assert list(bars.frame.columns) == [*REQUIRED, *TAKER_FLOW]
    assert bars.frame["trades"].tolist() == [7.0] * 40
    assert part.mapped["taker_buy_base"] == "taker_buy_volume"
    assert part.dropped == ("close_time", "ignore")
    assumed = (
        "Its columns have no names and were taken by their order for those of Binance's klines: open_time, open, high, "
        "low, close, volume, close_time, quote_volume, count, taker_buy_volume, taker_buy_quote_volume, ignore"
    )
    assert part.notes == (*(() if header else (assumed,)), f"Times are {unit} since 1970")
    assert (part.format, part.rows) == ("CSV", 40)


def test_monthly_files_in_zip_and_gzip_and_folders_are_joined_where_they_agree(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.zip").write_bytes(_zip(one=_klines(1000, slice(0, 15)), two=_klines(1000, slice(10, 25))))
    (tmp_path / "a" / "2.csv.gz").write_bytes(gzip.compress(_klines(1_000_000, slice(24, 40)).encode()))
    bars, parts = _import(tmp_path / "a")
    _assert_bars(bars)
    assert [part.rows for part in parts] == [15, 15, 16]
    assert parts[0].name.endswith("1.zip:one.csv")
    other = _klines(1000, slice(20, 30)).splitlines()
    other[3] = other[3].replace(",7,", ",8,")
    (tmp_path / "a" / "3.csv").write_text("\n".join(other))
    with pytest.raises(DataError, match=r"Two files have different bars of BTCUSDT at 2024-03-01 01:55:00"):
        _import(tmp_path / "a")


def test_cryptodatadownload_is_read_newest_first_with_its_address_and_volumes_by_currency(tmp_path: Path) -> None:
    lines = [
        "https://www.CryptoDataDownload.com",
        "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount",
    ]
    for opened, bar in zip(reversed(SECONDS.tolist()), BARS[::-1].itertuples(), strict=True):
        unix = opened if opened < SECONDS[20] else opened * 1000  # such files changed their unit in the middle
        lines.append(
            f"{unix},{bar.timestamp:%Y-%m-%d %H:%M:%S},BTC/USDT,{bar.open!r},{bar.high!r},{bar.low!r},{bar.close!r},"
            f"{bar.volume!r},{bar.volume * bar.close!r},3"
        )
    (tmp_path / "c.csv").write_text("\n".join(lines))
    bars, (part,) = _import(tmp_path / "c.csv")
    _assert_bars(bars)
    assert (part.mapped["volume"], part.mapped["quote_volume"]) == ("Volume BTC", "Volume USDT")
    assert part.dropped == ("date", "symbol")
    assert part.notes == (
        "Times are seconds (20 rows) and milliseconds (20 rows) since 1970",
        "The newest bar came first",
    )


def test_minutes_without_prices_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = ["Timestamp,Open,High,Low,Close,Volume_(BTC),Volume_(Currency),Weighted_Price"]
    for index, (opened, bar) in enumerate(zip(SECONDS.tolist(), BARS.itertuples(), strict=True)):
        values = [bar.open, bar.high, bar.low, bar.close, bar.volume, 1.0, 1.0]
        lines.append(",".join([str(opened), *(["NaN"] * 7 if index in (5, 6, 30) else map(repr, values))]))
    (tmp_path / "bitstamp.csv").write_text("\n".join(lines))
    bars, (part,) = _import(tmp_path / "bitstamp.csv")
    assert len(bars.frame) == part.rows == 37
    assert "3 rows without prices were left out: nothing was traded in them" in part.notes
    assert part.mapped["volume"] == "Volume_(BTC)"


@pytest.mark.parametrize("kind", ["feather", "parquet", "json", "json.gz"])
def test_files_of_freqtrade_are_read(tmp_path: Path, kind: str) -> None:
    frame = BARS[list(REQUIRED)].rename(columns={"timestamp": "date"})
    path = tmp_path / f"BTC_USDT-5m.{kind}"
    if kind == "feather":
        frame.to_feather(path)
    elif kind == "parquet":
        frame.set_index("date").to_parquet(path)
    else:
        rows = [[int(second) * 1000, *row[1:]] for second, row in zip(SECONDS, frame.to_numpy().tolist(), strict=True)]
        text = json.dumps(rows).encode()
        path.write_bytes(gzip.compress(text) if kind.endswith("gz") else text)
    bars, (part,) = _import(path.rename(tmp_path / "renamed.parquet"))  # the content counts, not the name
    _assert_bars(bars)
    assert part.mapped["timestamp"] == "date"


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_candles_without_names_are_said_to_be_taken_by_their_order(tmp_path: Path, kind: str) -> None:
    rows = [[second * 1000, 1.0, 2.0, 0.5, 1.0, 7] for second in SECONDS.tolist()]
    text = json.dumps(rows) if kind == "json" else "\n".join(",".join(map(str, row)) for row in rows)
    (tmp_path / "x").write_text(text)
    _, (part,) = _import(tmp_path / "x")
    taken = "Its columns have no names and were taken by their order for those of candles: date, open, high, low, close"
    assert part.notes[0] == f"{taken}, volume"


def test_columns_that_other_files_lack_are_said_to_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text(_klines(1000, slice(0, 20), header=True))
    BARS[list(REQUIRED)][20:].to_csv(tmp_path / "2.csv", index=False)
    bars, (with_flow, without) = _import(tmp_path)
    assert list(bars.frame.columns) == list(REQUIRED)
    assert list(with_flow.mapped) == list(REQUIRED)
    assert set(with_flow.dropped) >= {"quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume"}
    assert f"{', '.join(TAKER_FLOW)} left out: missing in other files" in with_flow.notes
    assert not any("left out" in note for note in without.notes)


def test_columns_of_unknown_names_are_named_by_the_user(tmp_path: Path) -> None:
    frame = BARS[list(REQUIRED)].rename(columns={"close": "Last", "volume": "Lots"})
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match=r"no known name for close, volume \(it has .*--columns close=NAME"):
        _import(tmp_path / "x.csv")
    bars, (part,) = _import(tmp_path / "x.csv", columns={"close": "Last", "volume": "Lots"})
    _assert_bars(bars)
    assert part.mapped["close"] == "Last"
    with pytest.raises(DataError, match="has no column 'Gone'"):
        _import(tmp_path / "x.csv", columns={"close": "Gone"})
    with pytest.raises(DataError, match="end is not a column of bars"):
        _import(tmp_path / "x.csv", columns={"end": "Last"})


def test_another_interval_than_the_files_is_refused_with_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(_klines(1000))
    with pytest.raises(DataError, match=r"has bars of 5m, not 1m\. Say --interval 5m"):
        _import(tmp_path / "x.csv", interval="1m")


@pytest.mark.parametrize("omitted", [False, True])
def test_most_bars_may_be_missing_or_without_prices(tmp_path: Path, omitted: bool) -> None:
    frame = random_bars(400).frame
    empty = np.random.default_rng(0).random(400) < 0.6
    if omitted:
        frame = frame[~empty]
    else:
        frame.loc[np.arange(400) % 2 == 1, frame.columns[1:]] = np.nan
    frame.to_csv(tmp_path / "x.csv", index=False)
    bars, _ = _import(tmp_path / "x.csv")
    assert len(bars.frame) == ((~empty).sum() if omitted else 200)


def test_prices_at_which_nothing_was_traded_are_refused_in_an_archive(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(_zip(**{"BTC_USDT_USDT-5m-mark": _klines(1000)}))
    with pytest.raises(DataError, match=r"x\.zip:BTC_USDT_USDT-5m-mark\.csv holds no traded prices by its name"):
        _import(tmp_path / "x.zip")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("ETHUSDT-5m-2024-03.csv", "5m bars of ETHUSDT"),
        ("BTCUSDT-1m-2024-03.csv", "1m bars of BTCUSDT"),
        ("ETH_USDT-5m.json", "5m bars of ETHUSDT"),
    ],
)
def test_a_file_that_another_symbol_or_interval_names_is_refused(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "BTCUSDT-5m-2024-02.csv").write_text(_klines(1000, slice(0, 20)))
    (tmp_path / name).write_text(_klines(1000, slice(20, 40)))
    with pytest.raises(DataError, match=rf"{name} holds {what} by its name, not 5m bars of BTCUSDT\. Leave it out"):
        _import(tmp_path)
    (tmp_path / name).rename(tmp_path / "renamed.csv")
    bars, parts = _import(tmp_path)
    _assert_bars(bars)
    start, middle, end = (int(SECONDS[0] + 300 * index) * 10**6 for index in (0, 20, 40))
    assert [part.span for part in parts] == [(start, middle), (middle, end)]
    (tmp_path / "x.zip").write_bytes(_zip(**{"ETHUSDT-5m-2024-03": _klines(1000)}))
    with pytest.raises(DataError, match=r"x\.zip:ETHUSDT-5m-2024-03\.csv holds 5m bars of ETHUSDT by its name"):
        _import(tmp_path / "x.zip")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"a,b\n1,2\n", "no known name for timestamp"),
        (b"1,2,3\n", "no header, and 3 columns"),
        (b"\x00" * 50, "not text"),
        (b"\xff\xfe\x01", "cannot be read"),
        (b"[1, 2", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b"PAR1 nothing", "cannot be read"),
        (b"ARROW1 nothing", "cannot be read"),
        (b"PK\x03\x04 nothing", "cannot be decompressed"),
        (b"\x1f\x8b nothing", "cannot be decompressed"),
        (_klines(1000).replace("1709251200000", "1").encode(), "row 0 has the impossible time 1"),
        (_klines(1000).replace(",7,", ",seven,").encode(), "column count does not hold numbers"),
        (f"[[1709251200000, 1, 1, 1, 1, {'9' * 400}]]".encode(), "column volume does not hold numbers"),
        (f"[[{'9' * 400}, 1, 1, 1, 1, 1]]".encode(), "times that cannot be read|impossible time"),
        (f"[[1709251200000, 1, 1, 1, 1, {'9' * 5000}]]".encode(), "cannot be read"),
        (b"[[1709251200000, 1, 1, 1, 1, 1], [1709251500000]]", "a row is .1709251500000., not a list of 6 values"),
        (b"[[1709251200000, 1, 1, 1, [1], {}]]", "column close does not hold numbers"),
        (b"date,open,high,low,close,volume\nyesterday,1,1,1,1,1\n", "times that cannot be read"),
        (b"date,open,high,low,close,volume\n", "The files hold no bar"),
    ],
)
def test_what_cannot_be_imported_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        _import(tmp_path / "x.csv")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["feather", "parquet"])
def test_a_column_that_comes_twice_is_one_line(tmp_path: Path, kind: str) -> None:
    columns = [pa.array(range(3))] * 7
    table = pa.Table.from_arrays(columns, names=["date", "open", "high", "low", "close", "close", "volume"])
    if kind == "feather":
        pyarrow.feather.write_feather(table, tmp_path / "x")
    else:
        pq.write_table(table, tmp_path / "x")
    with pytest.raises(DataError, match=r"cannot be read|has the column\(s\) close more than once") as error:
        _import(tmp_path / "x")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("step", ["90061001ms", "20240101s"])
def test_no_interval_is_proposed_that_is_none(tmp_path: Path, step: str) -> None:
    frame = BARS[list(REQUIRED)].assign(timestamp=pd.date_range("2024-01-01", periods=40, freq=step, tz="UTC"))[:3]
    frame.to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(DataError, match=r"seconds apart, not 5m\. Check its column of times"):
        _import(tmp_path / "x.csv")


def test_an_archive_that_grows_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 2**10)
    (tmp_path / "x.zip").write_bytes(_zip(one="0" * 2**20))
    with pytest.raises(DataError, match="holds more than"):
        _import(tmp_path / "x.zip")
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"0" * 2**20))
    with pytest.raises(DataError, match="holds more than"):
        _import(tmp_path / "x.gz")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv cannot be read"):
        _import(tmp_path / "gone.csv")


def _json() -> bytes:
    return json.dumps([[second * 1000, 1.0, 2.0, 0.5, 1.0, 7] for second in SECONDS.tolist()]).encode()


def _parquet() -> bytes:
    buffer = io.BytesIO()
    BARS.to_parquet(buffer)
    return buffer.getvalue()


@given(data=st.data())
def test_whatever_is_done_to_a_file_ends_in_bars_or_one_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    content = bytearray(
        data.draw(
            st.sampled_from(
                [
                    _klines(1000).encode(),
                    _klines(1000, header=True).encode(),
                    _zip(one=_klines(1)),
                    _json(),
                    _json().replace(b"7]", b"9" * 400 + b"]"),
                    _parquet(),
                ]
            )
        )
    )
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(st.binary(max_size=8))
        content[place : place + data.draw(st.integers(0, 40))] = piece
        if not content:
            break
    (folder / "x").write_bytes(bytes(content))
    message = ""
    try:
        bars, _ = _import(folder / "x")
    except DataError as error:
        message = str(error)
    else:
        assert bars.frame["timestamp"].is_monotonic_increasing
        assert len(bars.frame) >= 1
    assert "\n" not in message
