"""Instants as files hold them: the unit of their numbers, the form of their texts, and years that are impossible."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from core.errors import DataError, one_line

FIRST_YEAR, LAST_YEAR = 1971, 2200
"""Bars must open in or after the first of these years, and before the second."""
TimeUnit = Literal["s", "ms", "us", "ns"]
_UNIT_NAMES: dict[TimeUnit, str] = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_NUMBER_UNITS = {
    "seconds": (1e8, 1_000_000),
    "milliseconds": (1e11, 1_000),
    "microseconds": (1e14, 1),
    "nanoseconds": (1e17, 0),
}
"""Units of time: the magnitude from which a number is one, and the microseconds in it (0 for a thousandth)."""
_CAUSED_BY_CONTENT = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)
"""Errors that pandas raises for times that are not of the expected form."""


def check_instants(path: Path, timestamps: pd.Series) -> None:
    """Refuse timestamps outside of 1971 to 2200: their numbers were written in another unit than the file says.

    Args:
        path: file that the timestamps were read from, for the message.
        timestamps: column of timestamps in UTC, none of them missing.

    Raises:
        DataError: a timestamp is impossible; the message names the row and the unit that its number seems to be in.
    """
    impossible = _impossible_rows(timestamps)
    if len(impossible) == 0:
        return
    stored = pd.DatetimeIndex(timestamps)
    numbers, unit = stored.asi8, stored.unit
    row = int(impossible[0])
    number = int(numbers[row])
    fitting = [
        name
        for other, name in _UNIT_NAMES.items()
        if _year_start(FIRST_YEAR, other) <= number < _year_start(LAST_YEAR, other)
    ]
    written = f"its {number} {_UNIT_NAMES[unit]} since 1970 are not between {FIRST_YEAR} and {LAST_YEAR}"
    raise DataError(
        f"{path}: row {row} has an impossible {timestamps.name}: {written}"
        + (f", but would be as {fitting[0]}" if fitting else ""),
        f"Write the column in {fitting[0]}" if fitting else "Correct or remove the row",
    )


def read_instants(name: str, values: pd.Series) -> tuple[pd.Series, str]:
    """Read a column of times in whatever form a file of another program has them.

    Args:
        name: name of the file, for messages.
        values: timestamps, ISO 8601 texts, or numbers since 1970 in any unit.

    Returns:
        The instants in UTC, and what was assumed in reading them, in a sentence without its full stop.

    Raises:
        DataError: a time is missing, impossible or cannot be read; the message names the row.
    """
    instants, note = _parse_instants(name, values)
    if (impossible := _impossible_rows(instants)).size:
        row = int(impossible[0])
        raise DataError(
            f"{name}: row {row} has the impossible time {str(values.iloc[row])[:40]}, which is not between "
            f"{FIRST_YEAR} and {LAST_YEAR}",
            "Write times in ISO 8601, such as 2024-05-01 13:45, or in seconds or milliseconds since 1970",
        )
    return instants, note


def _parse_instants(name: str, values: pd.Series) -> tuple[pd.Series, str]:
    """Return instants in UTC, and what was assumed, whatever their years are."""
    try:
        numbers = pd.to_numeric(values, errors="coerce") if not pd.api.types.is_datetime64_any_dtype(values) else None
        if numbers is not None and len(numbers) and numbers.notna().all():
            return _instants_of_numbers(name, numbers.astype(np.float64))
        instants = pd.to_datetime(values, utc=True, format=None if numbers is None else "ISO8601", errors="raise")
    except _CAUSED_BY_CONTENT as error:
        raise DataError(
            f"{name} has times that cannot be read ({one_line(error)})",
            "Write them in ISO 8601, such as 2024-05-01 13:45",
        ) from None
    if instants.isna().any():
        row = int(np.flatnonzero(instants.isna())[0])
        raise DataError(f"{name}: row {row} has no time", "Correct or remove the row")
    zoned = (
        isinstance(values.dtype, pd.DatetimeTZDtype) or values.astype(str).str.contains(r"(?:Z|[+-]\d\d:?\d\d)$").all()
    )
    return instants.astype("datetime64[us, UTC]"), "" if zoned else "Times without a zone were taken to be in UTC"


def _instants_of_numbers(name: str, numbers: pd.Series) -> tuple[pd.Series, str]:
    """Return the instants that numbers since 1970 mean, each in the unit that its magnitude shows."""
    values = numbers.to_numpy(np.float64)
    microseconds = np.zeros(len(values))
    counts = {}
    limits = [*(low for low, _ in _NUMBER_UNITS.values()), 1e20]
    for (unit, (low, factor)), high in zip(_NUMBER_UNITS.items(), limits[1:], strict=True):
        of_unit = (values >= low) & (values < high)
        if of_unit.any():
            counts[unit] = int(of_unit.sum())
            microseconds[of_unit] = values[of_unit] * factor if factor else values[of_unit] / 1000
    if (impossible := np.flatnonzero(microseconds == 0)).size:
        row = int(impossible[0])
        raise DataError(f"{name}: row {row} has the impossible time {values[row]:.0f}", "Correct or remove the row")
    read = " and ".join(f"{unit} ({count:,} rows)" if len(counts) > 1 else unit for unit, count in counts.items())
    # Years that nanoseconds do not reach are kept here, to be refused with their row.
    instants = pd.Series(microseconds.round().astype(np.int64).view("datetime64[us]")).dt.tz_localize("UTC")
    return instants, f"Times are {read} since 1970"


def _impossible_rows(timestamps: pd.Series) -> np.ndarray:
    """Return the rows whose timestamps are outside of the years of which there can be bars, int64 `[N]`."""
    stored = pd.DatetimeIndex(timestamps)
    is_possible = (_year_start(FIRST_YEAR, stored.unit) <= stored.asi8) & (
        stored.asi8 < _year_start(LAST_YEAR, stored.unit)
    )
    return np.flatnonzero(~is_possible)


def _year_start(year: int, unit: TimeUnit) -> int:
    """Return when a year begins, as a number of this unit since 1970."""
    return int(pd.Timestamp(year=year, month=1, day=1).as_unit(unit).asm8.astype(np.int64))
