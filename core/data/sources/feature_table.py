"""Reading a finished feature table of a user's own feature store: features, label and return are taken as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.config import DataConfig, TableConfig
from core.data import bars
from core.data.continuity import find_breaks, find_gaps, find_reopenings, slices
from core.data.file_format import column_microseconds, interval_microseconds
from core.data.labels import CLASSES, NO_LABEL
from core.data.market import SymbolData
from core.data.validation import find_problems
from core.errors import ConfigError, DataError
from core.files import expand_globs

MAX_RETURN = 50.0
"""Limit of an absolute log return: a larger one would be a factor of 10^21."""
_PATH, _ROW = "__path__", "__row__"
"""Columns that say which file and row a row came from, for messages."""


def read_feature_tables(
    config: DataConfig, table: TableConfig, labelled: bool = True, only_features: Collection[str] | None = None
) -> tuple[list[SymbolData], tuple[str, ...], tuple[str, ...], str]:
    """Read and check the files of a feature table.

    Args:
        config: settings of interval, window and horizon.
        table: names of the files and of their columns.
        labelled: whether the columns of labels and returns must exist; where they do not, all are unknown.
        only_features: those of the features that are read; None for all that the settings name.

    Returns:
        The rows of each symbol, the names of the features, the ignored columns, and a fingerprint.

    Raises:
        ConfigError: a column that the settings name is missing.
        DataError: a file is missing or damaged, or lacks one of `only_features`.
    """
    files = expand_globs(table.files)
    names, ignored = _feature_names(files[0], table)
    if only_features is not None:
        if missing := sorted(set(only_features) - set(names)):
            raise DataError(
                f"{files[0]} lacks the feature(s) {', '.join(missing)}",
                "Use files with the columns of the training, and name these columns as features",
            )
        ignored += tuple(name for name in names if name not in only_features)
        names = tuple(name for name in names if name in only_features)
    joined = pd.concat([_read_file(path, names, table, labelled) for path in files], ignore_index=True)
    symbols = [
        _symbol_data(str(symbol), frame.reset_index(drop=True), names, config, table)
        for symbol, frame in joined.groupby(table.symbol, sort=True)
    ]
    digest = hashlib.sha256(repr((names, table.label, table.returns)).encode())
    for rows in symbols:
        digest.update(rows.symbol.encode())
        for array in (rows.timestamps, rows.features, rows.returns, rows.labels):
            digest.update(np.ascontiguousarray(array).tobytes())
    return symbols, names, ignored, digest.hexdigest()


def _feature_names(path: Path, table: TableConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns of a file that the settings name as features, and those that they do not name at all."""
    special = {table.timestamp, table.symbol, table.label, table.returns}
    columns = [name for name in bars.read_schema(path).names if name not in special]
    names = tuple(bars.match_columns(columns, table.features))
    for pattern in table.features:
        if not bars.match_columns(columns, [pattern]):
            raise ConfigError(
                f"No column of {path} matches features: {pattern}", f"Name columns that it has: {', '.join(columns)}"
            )
    return names, tuple(name for name in columns if name not in names)


def _read_file(path: Path, names: tuple[str, ...], table: TableConfig, labelled: bool) -> pd.DataFrame:
    """Read the columns of one file that are used, and where each row came from."""
    present = bars.read_schema(path).names
    future = [name for name in (table.label, table.returns) if labelled or name in present]
    required = [table.timestamp, table.symbol, *future, *names]
    for name in required:
        if name not in present:
            raise ConfigError(f"{path} has no column {name!r}", f"Name one that it has: {', '.join(present)}")
    frame = bars.read_columns(path, required)
    for name in (table.label, table.returns):
        if name not in frame:
            frame[name] = np.nan
    if frame.empty:
        raise DataError(f"{path} has no rows", "Drop it, or write it again")
    bars.check_types(path, frame, table.timestamp, [table.returns, *names])
    frame[table.symbol] = _checked_symbols(path, frame[table.symbol])
    frame[table.label] = _label_codes(path, frame[table.label])
    float_types: dict[str, str] = dict.fromkeys((table.returns, *names), "float64")
    # In one block: pandas warns of frames that hold each of many columns apart.
    frame = pd.DataFrame(frame.astype(float_types).copy())
    frame[_PATH], frame[_ROW] = str(path), np.arange(len(frame))
    return frame


def _checked_symbols(path: Path, column: pd.Series) -> pd.Series:
    """Return a column of symbols as text, and refuse rows without one."""
    for row, value in enumerate(column):
        if not isinstance(value, str) or not value:
            raise DataError(f"{path}: row {row} has the symbol {value!r}", "Write the name of a symbol there")
    return column.astype(str)


def _label_codes(path: Path, column: pd.Series) -> pd.Series:
    """Convert a column of labels to int8 codes; NO_LABEL where it is empty."""
    codes: dict[Any, int] = {name: code for code, name in enumerate(CLASSES)} | {code: code for code in range(3)}
    labels = []
    for row, value in enumerate(column.astype(object)):
        if value is None or value is pd.NA or value != value:
            labels.append(NO_LABEL)
            continue
        if not isinstance(value, (str, int, float)) or isinstance(value, bool) or value not in codes:
            raise DataError(f"{path}: row {row} has the label {value!r}", "Use 0, 1, 2 or SELL, HOLD, BUY")
        labels.append(codes[value])
    return pd.Series(labels, dtype="int8")


def _symbol_data(
    symbol: str, frame: pd.DataFrame, names: tuple[str, ...], config: DataConfig, table: TableConfig
) -> SymbolData:
    """Check the rows of one symbol, and convert them to the form that computed features have.

    Raises:
        DataError: a row is damaged; the message names its file and row.
    """
    bar = interval_microseconds(config.interval)
    checked = frame[[table.timestamp, *names]].rename(columns={table.timestamp: "timestamp"})
    problems = find_problems(checked, bar)
    if problems:
        first = problems[0]
        where = f"{frame[_PATH].iloc[first.row]}: row {frame[_ROW].iloc[first.row]} ({symbol}, {first.when})"
        raise DataError(f"{where} {first.what}", first.remedy)
    returns = frame[table.returns].to_numpy()
    absurd = np.flatnonzero(np.abs(returns) > MAX_RETURN)
    if len(absurd):
        row = int(absurd[0])
        raise DataError(
            f"{frame[_PATH].iloc[row]}: row {frame[_ROW].iloc[row]} has the {table.returns} {returns[row]:g}",
            "Log returns are small numbers: correct it, or leave it empty",
        )
    timestamps = column_microseconds(checked["timestamp"])
    window_ok = np.zeros(len(frame), dtype=bool)
    labels = frame[table.label].to_numpy(copy=True)
    is_break = find_breaks(timestamps, bar, find_reopenings(timestamps, bar) if config.sessions else None)
    for stretch in slices(is_break):
        window_ok[stretch.start + config.window - 1 : stretch.stop] = True
    for segment in slices(find_gaps(timestamps, bar)):
        # The last h rows of a segment cannot know their future, whatever the table says.
        labels[max(segment.stop - config.horizon, segment.start) : segment.stop] = NO_LABEL
    return SymbolData(
        symbol=symbol,
        timestamps=timestamps,
        features=frame[list(names)].to_numpy(),
        returns=returns,
        # A table has no prices: its returns stand for what a trade earns, and add up to a price.
        trade_returns=returns,
        log_prices=np.cumsum(np.nan_to_num(returns)) / config.horizon,
        scores=returns,
        labels=labels,
        window_ok=window_ok,
        is_break=is_break,
    )
