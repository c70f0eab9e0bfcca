"""The confirmation table: a row for each training of a confirmation, flat where `CellRecord` is nested."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from search.results.records import CellRecord

_METRICS = ("val", "held_out")
"""Fields of metrics by name, which become a column for each metric."""
_BY_CLASS = ("bias", "decision_mean")
"""Fields of a value for each class, which become three columns."""
_NOTES = ("dropped_after", "dropped_because", "neighbour")
"""Fields that only some trainings have, whose columns are always there."""
_CLASSES = ("sell", "hold", "buy")


def make_confirmation_table(cells: Sequence[CellRecord]) -> pd.DataFrame:
    """Make the confirmation table, with a row for each cell.

    Args:
        cells: the records of all cells, that of the final training among them.

    Returns:
        a table in which metrics on val are columns `val_…`, metrics of the predicted rows `held_out_…`, the biases of
        the calibration `bias_…`, and the means of the decision rule `decision_mean_…`. Checklists are not in it.
    """
    return pd.DataFrame([_flatten(cell.as_row()) | {name: getattr(cell, name) for name in _NOTES} for cell in cells])


def _flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in row.items() if key not in (*_METRICS, *_BY_CLASS, "checklist")}
    for group in _METRICS:
        flat |= {f"{group}_{name}": _number_or_nan(value) for name, value in row.get(group, {}).items()}
    for group in _BY_CLASS:
        if row.get(group) is not None:
            flat |= {f"{group}_{name}": value for name, value in zip(_CLASSES, row[group], strict=True)}
    return flat


def _number_or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def read_confirmation_row(row: pd.Series[Any]) -> CellRecord:
    """Return the record of a cell from its row of the confirmation table.

    Args:
        row: the row of a cell; columns that only other cells have are NaN.

    Raises:
        KeyError: a column that every cell has is missing.
        ValueError: a value does not fit.
    """
    known = {str(key): value for key, value in row.items() if not _is_nan(value)}
    nested: dict[str, Any] = {}
    for group in _BY_CLASS:
        columns = [f"{group}_{name}" for name in _CLASSES]
        if all(column in known for column in columns):
            nested[group] = tuple(known.pop(column) for column in columns)
    if row["status"] == "complete":
        for group in _METRICS:
            names = [
                str(key) for key in row.index if str(key).startswith(f"{group}_") and not str(key).endswith("_rows")
            ]
            nested[group] = {name.removeprefix(f"{group}_"): known.pop(name, None) for name in names}
    return CellRecord.model_validate({**known, **nested})


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
