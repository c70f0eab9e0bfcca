from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.data.bars import bars_fingerprint, match_columns, read_bar_file, read_bar_files
from core.data.file_format import SECOND, column_microseconds
from core.data.sources.store import find_in_store
from core.data.span import cut_to_common_span
from core.errors import DataError
from tests.helpers import market
from tests.helpers.market import random_bars

NAME = "binance_BTCUSDT_5m.parquet"
DAY_OF_BARS = 288


def _write(folder: Path, frame: pd.DataFrame, name: str = NAME) -> Path:
    frame.to_parquet(folder / name)
    return folder / name


def _frame(count: int = 20) -> pd.DataFrame:
    return random_bars(count).frame


def test_a_file_is_read_without_its_last_bar_which_may_still_be_open(tmp_path: Path) -> None:
    frame = _frame()
    bars = read_bar_file(_write(tmp_path, frame))
    assert (bars.exchange, bars.symbol, bars.interval, bars.bar) == ("binance", "BTCUSDT", "5m", 300 * SECOND)
    assert bars.opened.tolist() == column_microseconds(frame["timestamp"]).tolist()[:-1]
    pd.testing.assert_frame_equal(bars.frame, frame.iloc[:-1])


def test_columns_that_the_format_does_not_describe_are_not_read(tmp_path: Path) -> None:
    frame = _frame().assign(close_time=1.0, ignored="text")
    assert list(read_bar_file(_write(tmp_path, frame)).frame) == list(_frame())


def test_whole_numbers_become_floats(tmp_path: Path) -> None:
    frame = _frame().assign(volume=1000, trades=np.arange(20))
    assert set(read_bar_file(_write(tmp_path, frame)).frame.dtypes.iloc[1:]) == {np.dtype("float64")}


def test_gaps_are_legal(tmp_path: Path) -> None:
    assert len(read_bar_file(_write(tmp_path, _frame().drop(index=[4, 5, 11]))).frame) == 16


def test_a_timestamp_that_is_the_index_is_read(tmp_path: Path) -> None:
    bars = read_bar_file(_write(tmp_path, _frame().set_index("timestamp")))
    pd.testing.assert_frame_equal(bars.frame, _frame().iloc[:-1])


@pytest.mark.parametrize(
    "name",
    ["BTCUSDT_5m.parquet", "binance_BTCUSDT.parquet", "binance_btcusdt_5m.parquet", "binance_BTCUSDT_5x.parquet"],
)
def test_a_misnamed_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="does not give exchange, symbol and interval") as caught:
        read_bar_file(_write(tmp_path, _frame(), name))
    assert name in caught.value.what
    assert "binance_BTCUSDT_5m.parquet" in caught.value.remedy


Damage = Callable[[pd.DataFrame], pd.DataFrame]


def _set(row: int, **values: float) -> Damage:
    def damage(frame: pd.DataFrame) -> pd.DataFrame:
        for name, value in values.items():
            frame.loc[row, name] = value
        return frame

    return damage


def _shift(row: int, by: pd.Timedelta) -> Damage:
    def damage(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[row, "timestamp"] += by
        return frame

    return damage


def _swap(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[[0, 1, 2, 3, 5, 4, *range(6, 20)]]


def _repeat(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[[0, 1, 2, 3, 4, 4, *range(5, 20)]]


def _no_timestamp(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[5, "timestamp"] = pd.NaT
    return frame


@pytest.mark.parametrize(
    ("damage", "what", "remedy"),
    [
        (_no_timestamp, "row 5 has no timestamp", "Correct or remove"),
        (_repeat, "row 5 (2024-03-01 00:20:00+00:00) repeats the timestamp before it", "Remove the duplicate"),
        (_swap, "row 5 (2024-03-01 00:20:00+00:00) is older than the row before it", "Sort the file"),
        (
            _shift(5, pd.Timedelta(seconds=1)),
            "row 5 (2024-03-01 00:25:01+00:00) is not on the 5m grid",
            "interval",
        ),
        (_set(5, close=np.nan), "row 5 (2024-03-01 00:25:00+00:00) has no finite close", "Remove the row"),
        (_set(5, volume=np.inf), "row 5 (2024-03-01 00:25:00+00:00) has no finite volume", "Remove the row"),
        (_set(5, taker_buy_base=np.nan), "row 5 (2024-03-01 00:25:00+00:00) has no finite taker_buy", "Remove the row"),
        (_set(5, low=0.0), "row 5 (2024-03-01 00:25:00+00:00) has a non-positive low", "Remove the row"),
        (_set(5, open=-1.0), "row 5 (2024-03-01 00:25:00+00:00) has a non-positive open", "Remove the row"),
        (_set(5, volume=-1.0), "row 5 (2024-03-01 00:25:00+00:00) has a negative volume", "Correct the row"),
        (_set(5, high=50.0), "row 5 (2024-03-01 00:25:00+00:00) has open or close outside", "Correct or remove"),
        (_set(5, low=150.0), "row 5 (2024-03-01 00:25:00+00:00) has open or close outside", "Correct or remove"),
        (_set(5, close=150.0), "row 5 (2024-03-01 00:25:00+00:00) has open or close outside", "Correct or remove"),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_damage_is_refused_with_file_row_and_remedy(tmp_path: Path, damage: Damage, what: str, remedy: str) -> None:
    path = _write(tmp_path, damage(_frame()))
    with pytest.raises(DataError) as caught:
        read_bar_file(path)
    assert caught.value.what.startswith(f"{path}: {what}")
    assert remedy in caught.value.remedy


def test_damage_in_the_first_and_last_row_is_reported(tmp_path: Path) -> None:
    for row in (0, 19):
        with pytest.raises(DataError, match=rf"row {row} .* has no finite open"):
            read_bar_file(_write(tmp_path, _set(row, open=np.nan)(_frame())))


@pytest.mark.parametrize("flow", [{"taker_buy_base": -1.0}, {"taker_buy_base": 1e9}], ids=["negative", "over volume"])
def test_taker_buying_lies_between_zero_and_the_volume(tmp_path: Path, flow: dict[str, float]) -> None:
    with pytest.raises(DataError, match=r"row 5 .* taker_buy_base"):
        read_bar_file(_write(tmp_path, _set(5, **flow)(_frame())))


@pytest.mark.parametrize("column", ["timestamp", "close", "volume"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    with pytest.raises(DataError, match=rf"lacks the column\(s\) {column}"):
        read_bar_file(_write(tmp_path, _frame().drop(columns=column)))


@pytest.mark.parametrize("values", ["text", True], ids=["text", "truth"])
def test_a_column_that_holds_no_numbers_is_named(tmp_path: Path, values: object) -> None:
    with pytest.raises(DataError, match=r"column volume is .*, not a number"):
        read_bar_file(_write(tmp_path, _frame().assign(volume=values)))


@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_a_timestamp_must_be_utc(tmp_path: Path, zone: str | None) -> None:
    frame = _frame()
    frame["timestamp"] = frame["timestamp"].dt.tz_convert(zone)
    with pytest.raises(DataError, match="not a UTC timestamp"):
        read_bar_file(_write(tmp_path, frame))


def test_a_number_is_refused_as_a_timestamp(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column timestamp is int64, not a UTC timestamp"):
        read_bar_file(_write(tmp_path, _frame().assign(timestamp=np.arange(20))))


@pytest.mark.parametrize("count", [0, 1])
def test_a_file_of_fewer_than_two_bars_is_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(DataError, match=f"holds {count} bars"):
        read_bar_file(_write(tmp_path, _frame().iloc[:count]))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"{NAME} does not exist"):
        read_bar_file(tmp_path / NAME)


@pytest.mark.parametrize("kept", [0, 10, 2000])
def test_a_damaged_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = _write(tmp_path, _frame())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=rf"{NAME} cannot be read as Parquet"):
        read_bar_file(path)


@pytest.mark.parametrize("column", list(random_bars(2).frame.columns))
@pytest.mark.parametrize("row", [0, 7, 19])
def test_the_fingerprint_changes_with_any_value(column: str, row: int) -> None:
    bars = random_bars(20)
    changed = bars.frame.copy()
    if column == "timestamp":
        changed.loc[row, column] += pd.Timedelta(microseconds=1)
    else:
        changed.loc[row, column] = np.nextafter(changed.loc[row, column], np.inf)
    assert bars_fingerprint([replace(bars, frame=changed)]) != bars_fingerprint([bars])


def test_the_fingerprint_changes_with_names_columns_and_number_of_bars() -> None:
    bars = random_bars(20)
    others = [
        replace(bars, exchange="kraken"),
        replace(bars, symbol="ETHUSDT"),
        replace(bars, interval="15m"),
        replace(bars, frame=bars.frame.iloc[:-1]),
        replace(bars, frame=bars.frame.rename(columns={"taker_buy_base": "trades"})),
    ]
    assert len({bars_fingerprint([variant]) for variant in [bars, *others]}) == 6


def test_the_fingerprint_ignores_files_and_their_order(tmp_path: Path) -> None:
    btc, eth = random_bars(20), random_bars(20, seed=1, symbol="ETHUSDT")
    assert bars_fingerprint([eth, btc]) == bars_fingerprint([btc, eth])
    # Each file has one bar more, because reading drops the last.
    (tmp_path / "elsewhere").mkdir()
    paths = [
        _write(tmp_path, random_bars(21).frame),
        _write(tmp_path / "elsewhere", random_bars(21, seed=1).frame, "binance_ETHUSDT_5m.parquet"),
    ]
    read_back = [read_bar_file(path) for path in paths]
    assert [len(bars.frame) for bars in read_back] == [20, 20]
    expected = [replace(bars, frame=random_bars(21, seed=i).frame.iloc[:-1]) for i, bars in enumerate([btc, eth])]
    assert bars_fingerprint(read_back) == bars_fingerprint(expected)


@pytest.mark.real_data
def test_recorded_bars_pass_every_check(shared_data: Path) -> None:
    paths = find_in_store(shared_data, ["BTCUSDT", "ETHUSDT"], "1h", None)
    cut = cut_to_common_span([read_bar_file(path) for path in paths], 30, None)
    assert [len(bars.frame) for bars in cut] == [720, 720]
    assert len({(bars.frame["timestamp"].iloc[0], bars.frame["timestamp"].iloc[-1]) for bars in cut}) == 1


@pytest.mark.parametrize("name", ["open", "trades"])
def test_a_column_with_a_reserved_name_cannot_be_named_in_an_order_book(tmp_path: Path, name: str) -> None:
    book = pd.DataFrame(market.book(20, levels=2)).drop(columns="close").assign(timestamp=_frame()["timestamp"])
    path = _write(tmp_path, book.assign(**{name: 1.0}))
    with pytest.raises(DataError, match=f"column\\(s\\) {name} cannot be named as features"):
        read_bar_file(path, named=[f"{name[:2]}*"])


def test_a_column_of_taker_flow_is_read_whether_it_is_named_or_not(tmp_path: Path) -> None:
    bars = read_bar_file(_write(tmp_path, _frame().assign(trades=1.0)), named=["tr*"])
    assert "trades" in bars.frame
    assert bars.named == ()


def test_levels_beyond_a_hole_in_the_book_are_listed_as_ignored(tmp_path: Path) -> None:
    assert read_bar_file(_write(tmp_path, _frame().assign(bid_sz_30=1.0))).ignored == ("bid_sz_30",)


def test_the_name_of_a_column_is_that_column_before_it_is_a_glob() -> None:
    columns = ["funding[8h]", "funding8", "fundingh", "flow_a", "flow_b"]
    assert match_columns(columns, ["funding[8h]"]) == ["funding[8h]"]
    assert match_columns(columns[1:], ["funding[8h]"]) == ["funding8", "fundingh"]
    assert match_columns(columns, ["flow_*", "funding8"]) == ["funding8", "flow_a", "flow_b"]


def test_a_file_named_by_60m_has_the_same_bars_as_one_named_by_1h(tmp_path: Path) -> None:
    frame = _frame()
    frame["timestamp"] = pd.date_range("2024-01-01", periods=len(frame), freq="h", tz="UTC")
    one, other = (read_bar_file(_write(tmp_path, frame, f"binance_BTCUSDT_{name}.parquet")) for name in ("60m", "1h"))
    assert one.interval == other.interval == "1h"
    assert bars_fingerprint([one]) == bars_fingerprint([other])
    (tmp_path / "binance_BTCUSDT_1h.parquet").unlink()
    assert find_in_store(tmp_path, ["BTCUSDT"], "1h", None) == [tmp_path / "binance_BTCUSDT_60m.parquet"]


def test_files_of_one_symbol_are_joined_and_only_the_last_bar_of_all_can_be_open(tmp_path: Path) -> None:
    frame = _frame(40)
    parts = {"20240301": frame.iloc[:15], "20240302": frame.iloc[10:25], "20240303": frame.iloc[24:]}
    paths = [_write(tmp_path, part, f"binance_BTCUSDT_5m_{day}.parquet") for day, part in parts.items()]
    other = _write(tmp_path, _frame(), "binance_ETHUSDT_5m.parquet")
    bitcoin, ether = read_bar_files([paths[2], other, *paths[:2]])
    pd.testing.assert_frame_equal(bitcoin.frame, frame.iloc[:-1])
    assert (bitcoin.symbol, ether.symbol) == ("BTCUSDT", "ETHUSDT")


def test_the_last_bar_of_a_file_may_be_another_than_that_of_the_file_that_goes_on(tmp_path: Path) -> None:
    frame = _frame(40)
    early = frame.iloc[:20].copy()
    early.loc[19, "close"] = early.loc[19, "open"]  # it was open when the file was written
    paths = [
        _write(tmp_path, early, "binance_BTCUSDT_5m.parquet"),
        _write(tmp_path, frame[10:], "binance_BTCUSDT_300s.parquet"),
    ]
    (bars,) = read_bar_files(paths)
    pd.testing.assert_frame_equal(bars.frame, frame.iloc[:-1])
    early.loc[18, "volume"] *= 1.001
    with pytest.raises(DataError, match=r"Two files have different bars of BTCUSDT at 2024-03-01 01:30:00"):
        read_bar_files([_write(tmp_path, early, "binance_BTCUSDT_5m.parquet"), paths[1]])


@pytest.mark.parametrize("name", [NAME, "BTCUSDT.csv"])
@pytest.mark.parametrize("kind", ["a CSV file", "a gzip file", "a zip archive", "a Feather file", "a JSON file"])
def test_a_file_of_another_format_is_to_be_imported_whatever_its_name(tmp_path: Path, kind: str, name: str) -> None:
    path = tmp_path / name
    write: dict[str, Callable[[], object]] = {
        "a CSV file": lambda: _frame().to_csv(path, index=False),
        "a gzip file": lambda: _frame().to_csv(path, index=False, compression="gzip"),
        "a zip archive": lambda: _frame().to_csv(path, index=False, compression="zip"),
        "a Feather file": lambda: _frame().to_feather(path),
        "a JSON file": lambda: path.write_text("[[1, 2, 3],\n[4, 5, 6]]"),
    }
    write[kind]()
    words = "binance --symbol BTCUSDT --interval 5m" if name == NAME else "X --symbol S --interval I"
    with pytest.raises(
        DataError, match=rf"is {kind}, not .* Import it: preset-search data import .* --exchange {words}"
    ):
        read_bar_file(path)
