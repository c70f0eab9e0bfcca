"""A finished feature table: some users own a feature store. Its features, label and return are taken as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.config import DataConfig, TableConfig
from core.data import bars, file_format
from core.data.file_format import microseconds
from core.data.labels import CLASSES, NO_LABEL
from core.data.market import SymbolData
from core.data.validation import find_problems
from core.errors import ConfigError, DataError

ABSURD_RETURN = 50.0
"""No log return is larger: it would be a factor of 10^21."""
_PATH, _ROW = "__path__", "__row__"
"""Where a row came from, for messages."""


def read_feature_tables(
    config: DataConfig, table: TableConfig, labelled: bool = True
) -> tuple[list[SymbolData], tuple[str, ...], tuple[str, ...], str]:
    """Read and check a feature table.

    Args:
        config: interval, window, horizon.
        table: names of files and columns.
        labelled: whether the columns of labels and returns must be there; without them all are unknown.

    Returns:
        the rows of each symbol, the names of the features, the ignored columns, and a fingerprint.

    Raises:
        ConfigError: a column that the settings name is not there.
        DataError: a file is missing or damaged.
    """
    names, ignored = _feature_names(table.files[0], table)
    joined = pd.concat([_read_file(path, names, table, labelled) for path in table.files], ignore_index=True)
    found = [
        _rows(str(symbol), frame.reset_index(drop=True), names, config, table)
        for symbol, frame in joined.groupby(table.symbol, sort=True)
    ]
    digest = hashlib.sha256(repr((names, table.label, table.returns)).encode())
    for rows in found:
        digest.update(rows.symbol.encode())
        for part in (rows.timestamps, rows.features, rows.returns, rows.labels):
            digest.update(np.ascontiguousarray(part).tobytes())
    return found, names, ignored, digest.hexdigest()


def _feature_names(path: Path, table: TableConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    own = {table.timestamp, table.symbol, table.label, table.returns}
    columns = [name for name in bars.read_schema(path).names if name not in own]
    names = tuple(name for name in columns if bars.is_named(name, table.features))
    for wanted in table.features:
        if not any(bars.is_named(name, [wanted]) for name in columns):
            raise ConfigError(f"{path} has no column named by features: {wanted}", f"There are: {', '.join(columns)}")
    return names, tuple(name for name in columns if name not in names)


def _read_file(path: Path, names: tuple[str, ...], table: TableConfig, labelled: bool) -> pd.DataFrame:
    present = bars.read_schema(path).names
    future = [name for name in (table.label, table.returns) if labelled or name in present]
    wanted = [table.timestamp, table.symbol, *future, *names]
    for name in wanted:
        if name not in present:
            raise ConfigError(f"{path} has no column {name!r}", f"Name one that it has: {', '.join(present)}")
    frame = bars.read_columns(path, wanted)
    for name in (table.label, table.returns):
        if name not in frame:
            frame[name] = np.nan
    if frame.empty:
        raise DataError(f"{path} has no rows", "Leave it out, or write it again")
    bars.check_types(path, frame, table.timestamp, [table.returns, *names])
    frame[table.symbol] = _symbols(path, frame[table.symbol])
    frame[table.label] = _labels(path, frame[table.label])
    numbers: dict[str, str] = dict.fromkeys((table.returns, *names), "float64")
    frame = pd.DataFrame(frame.astype(numbers))
    frame[_PATH], frame[_ROW] = str(path), np.arange(len(frame))
    return frame


def _symbols(path: Path, column: pd.Series) -> pd.Series:
    for row, value in enumerate(column):
        if not isinstance(value, str) or not value:
            raise DataError(f"{path}: row {row} has the symbol {value!r}", "Write a name there")
    return column.astype(str)


def _labels(path: Path, column: pd.Series) -> pd.Series:
    """Labels as int8; NO_LABEL where empty."""
    codes: dict[Any, int] = {name: code for code, name in enumerate(CLASSES)} | {code: code for code in range(3)}
    found = []
    for row, value in enumerate(column.astype(object)):
        if value is None or value is pd.NA or value != value:
            found.append(NO_LABEL)
            continue
        if not isinstance(value, (str, int, float)) or isinstance(value, bool) or value not in codes:
            raise DataError(f"{path}: row {row} has the label {value!r}", "Use 0, 1, 2 or SELL, HOLD, BUY")
        found.append(codes[value])
    return pd.Series(found, dtype="int8")


def _rows(
    symbol: str, frame: pd.DataFrame, names: tuple[str, ...], config: DataConfig, table: TableConfig
) -> SymbolData:
    seconds = file_format.interval_seconds(config.interval)
    checked = frame[[table.timestamp, *names]].rename(columns={table.timestamp: "timestamp"})
    problems = find_problems(checked, seconds)
    if problems:
        first = problems[0]
        where = f"{frame[_PATH].iloc[first.row]}: row {frame[_ROW].iloc[first.row]} ({symbol}, {first.when})"
        raise DataError(f"{where} {first.what}", first.cure)
    returns = frame[table.returns].to_numpy()
    absurd = np.flatnonzero(np.abs(returns) > ABSURD_RETURN)
    if len(absurd):
        row = int(absurd[0])
        raise DataError(
            f"{frame[_PATH].iloc[row]}: row {frame[_ROW].iloc[row]} has the {table.returns} {returns[row]:g}",
            "Log returns are small numbers: mend it, or leave it empty",
        )
    timestamps = microseconds(checked["timestamp"])
    window_ok = np.zeros(len(frame), dtype=bool)
    found = frame[table.label].to_numpy(copy=True)
    for segment in bars.segments(timestamps, seconds):
        window_ok[segment][config.window - 1 :] = True
        # The last h rows of a segment cannot know their future, whatever the table says.
        found[segment][-config.horizon :] = NO_LABEL
    return SymbolData(
        symbol=symbol,
        timestamps=timestamps,
        features=frame[list(names)].to_numpy(),
        returns=returns,
        # A table has no prices: its own returns stand for what a trade earns, and add up to a price.
        trade_returns=returns,
        log_prices=np.cumsum(np.nan_to_num(returns)) / config.horizon,
        scores=returns,
        labels=found,
        window_ok=window_ok,
    )
