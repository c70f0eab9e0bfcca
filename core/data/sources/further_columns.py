"""Columns of the user's own in a bar file: they are kept when bars are added to it, and end where they end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from core.data.file_format import REQUIRED, TAKER_FLOW, column_microseconds, iso, level_columns, level_count

_INDEX = "__index_level_"
"""Beginning of the name under which pandas writes an index that has none."""


def split_columns(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the columns of a bar file into those of its format, and those of the user's own.

    Args:
        names: names of the columns; the index that pandas writes is neither.

    Returns:
        The columns of bars, taker flow and order book, and the further ones.
    """
    known = {*REQUIRED, *TAKER_FLOW, *level_columns(level_count(names))}
    further = [name for name in names if name not in known and not name.startswith(_INDEX)]
    return [name for name in names if name in known], further


def attach_columns(bars: pa.Table, held: pa.Table) -> pa.Table:
    """Append the further columns of a file to the bars that shall replace it, each value to the bar of its time.

    Args:
        bars: the bars, with a column `timestamp` in UTC.
        held: content of the file, with a column `timestamp` in UTC.

    Returns:
        The bars with these columns, whose types stay as they were; they are null in bars that the file does not have.
    """
    names = split_columns(held.column_names)[1]
    if not names:
        return bars
    row_of = pd.Series(np.arange(held.num_rows), index=_opened(held), dtype="Int64")
    rows = row_of[~row_of.index.duplicated()].reindex(_opened(bars))
    kept = held.select(names).unify_dictionaries().take(pa.array(rows))
    for field, column in zip(kept.schema, kept.columns, strict=True):
        bars = bars.append_column(field.with_nullable(True), column)
    return bars


def describe_ends(path: Path) -> list[str]:
    """Say which further columns of a bar file end before its bars do, and when.

    Returns:
        A sentence without its full stop for each instant at which columns end; none for columns without any value.
    """
    names = split_columns(pq.read_schema(path).names)[1]
    if not names:
        return []
    frame = pq.read_table(path, columns=["timestamp", *names]).to_pandas(ignore_metadata=True)
    opened = column_microseconds(frame["timestamp"])
    ends: dict[int, list[str]] = {}
    for name in names:
        rows = np.flatnonzero(frame[name].notna())
        if len(rows) and rows[-1] < len(frame) - 1:
            ends.setdefault(int(rows[-1]), []).append(name)
    return [
        f"{path}: {', '.join(columns)} end{'s' if len(columns) == 1 else ''} at {iso(int(opened[row]))}; "
        f"{len(frame) - 1 - row:,} later bars have no value"
        for row, columns in sorted(ends.items())
    ]


def _opened(table: pa.Table) -> np.ndarray:
    """Return the column `timestamp` of a table, int64 `[T]` in microseconds since 1970."""
    return column_microseconds(table.column("timestamp").to_pandas())
