"""Instants are read in whatever form files have them, and impossible ones are refused with their row."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.bars import read_bar_file
from core.data.file_format import column_microseconds
from core.data.instants import read_instants
from core.errors import DataError
from tests.helpers.market import random_bars

NAME = "binance_BTCUSDT_5m.parquet"
OPENED = random_bars(20).opened


@pytest.mark.parametrize(
    ("divisor", "unit"), [(1_000_000, "seconds"), (1_000, "milliseconds"), (1, "microseconds"), (0, "nanoseconds")]
)
def test_numbers_are_read_in_the_unit_that_their_magnitude_shows(divisor: int, unit: str) -> None:
    numbers = OPENED // divisor if divisor else OPENED * 1_000
    instants, note = read_instants("x.csv", pd.Series(numbers))
    assert np.array_equal(column_microseconds(instants), OPENED)
    assert note == f"Times are {unit} since 1970"


@pytest.mark.parametrize(
    ("first", "note"),
    [
        ("2024-03-01 00:00:00", "Times without a zone were taken to be in UTC"),
        ("2024-03-01T00:00:00Z", ""),
        ("2024-03-01T01:00:00+01:00", ""),
    ],
)
def test_times_as_text_are_read_and_a_missing_zone_is_said(first: str, note: str) -> None:
    start = pd.Timestamp(first)
    texts = pd.Series([(start + pd.Timedelta(minutes=5 * index)).isoformat() for index in range(20)])
    instants, said = read_instants("x.csv", texts)
    assert np.array_equal(column_microseconds(instants), OPENED)
    assert said == note


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (20240101000000, "the impossible time 20240101000000"),
        (1, "the impossible time 1"),
        ("1969-01-01", "the impossible time 1969-01-01, which is not between 1971 and 2200"),
        ("2200-01-01", "the impossible time 2200-01-01, which is not between 1971 and 2200"),
    ],
)
def test_an_impossible_time_is_refused_with_its_row(value: object, what: str) -> None:
    with pytest.raises(DataError, match=f"x.csv: row 0 has {what}"):
        read_instants("x.csv", pd.Series([value]))


@pytest.mark.parametrize(
    ("written", "unit", "fitting"),
    [
        (1_735_689_600_000_000, "ms", "microseconds"),
        (1_735_689_600_000_000_000, "us", "nanoseconds"),
        (1_735_689_600_000_000_000, "ms", "nanoseconds"),
        (1_735_689_600, "ms", "seconds"),
        (1_735_689_600_000, "us", "milliseconds"),
    ],
)
def test_an_impossible_instant_is_damage_that_names_its_row_and_likely_unit(
    tmp_path: Path, written: int, unit: Literal["ms", "us"], fitting: str
) -> None:
    frame = random_bars(20).frame
    instants = pa.array(
        [int(number) // (1_000 if unit == "ms" else 1) for number in column_microseconds(frame["timestamp"])]
    ).to_pylist()
    instants[7] = written
    table = pa.table(
        {"timestamp": pa.array(instants, pa.timestamp(unit, "UTC"))} | {name: frame[name] for name in frame.columns[1:]}
    )
    pq.write_table(table, tmp_path / NAME)
    with pytest.raises(DataError, match=rf"row 7 has an impossible timestamp: its {written} .* as {fitting}\. Write"):
        read_bar_file(tmp_path / NAME)


def test_an_instant_that_no_unit_makes_possible_is_damage(tmp_path: Path) -> None:
    frame = random_bars(20).frame
    frame["timestamp"] = (
        frame["timestamp"].astype("datetime64[us, UTC]").where(frame.index != 3, pd.Timestamp(5, tz="UTC"))
    )
    frame.to_parquet(tmp_path / NAME)
    with pytest.raises(DataError, match=r"row 3 has an impossible timestamp.*Correct or remove the row"):
        read_bar_file(tmp_path / NAME)
