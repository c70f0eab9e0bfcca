"""A finished feature table: some users own a feature store. Its features, label and return are taken as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from core.config import DataConfig, TableConfig
from core.errors import ConfigError, DataError
from core.market import bars as bars_module
from core.market import labels
from core.market.checks import find_problems, microseconds
from core.market.rows import Rows


def read(config: DataConfig, table: TableConfig) -> tuple[list[Rows], tuple[str, ...], tuple[str, ...], str]:
    """Read and check a feature table.

    Returns:
        the rows of each symbol, the names of the features, the ignored columns, and a fingerprint.

    Raises:
        ConfigError: a column that the settings name is not there.
        DataError: a file is missing or damaged.
    """
    frames = [_read_file(path, table) for path in table.files]
    names, ignored = _feature_names(table.files[0], table)
    joined = pd.concat(frames, ignore_index=True)
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
    columns = [name for name in bars_module.read_schema(path).names if name not in own]
    names = tuple(name for name in columns if bars_module.is_named(name, table.features))
    for wanted in table.features:
        if not any(bars_module.is_named(name, [wanted]) for name in columns):
            raise ConfigError(f"{path} has no column named by features: {wanted}", f"There are: {', '.join(columns)}")
    return names, tuple(name for name in columns if name not in names)


def _read_file(path: Path, table: TableConfig) -> pd.DataFrame:
    present = bars_module.read_schema(path).names
    for name in (table.timestamp, table.symbol, table.label, table.returns):
        if name not in present:
            raise ConfigError(f"{path} has no column {name!r}", f"Name one that it has: {', '.join(present)}")
    names, _ = _feature_names(path, table)
    frame = bars_module.read_columns(path, [table.timestamp, table.symbol, table.label, table.returns, *names])
    bars_module.check_types(path, frame, table.timestamp, [table.returns, *names])
    frame[table.label] = _labels(path, frame[table.label])
    numbers: dict[str, str] = dict.fromkeys((table.returns, *names), "float64")
    return pd.DataFrame(frame.astype(numbers))


def _labels(path: Path, column: pd.Series) -> pd.Series:
    """Labels as int8; NO_LABEL where empty."""
    codes = {name: code for code, name in enumerate(labels.CLASSES)} | {code: code for code in range(3)}
    known = column.dropna()
    strange = known[~known.isin(list(codes))]
    if len(strange):
        row = strange.index[0]
        raise DataError(f"{path}: row {row} has the label {strange.iloc[0]!r}", "Use 0, 1, 2 or SELL, HOLD, BUY")
    return column.map(codes).fillna(labels.NO_LABEL).astype("int8")


def _rows(symbol: str, frame: pd.DataFrame, names: tuple[str, ...], config: DataConfig, table: TableConfig) -> Rows:
    seconds = bars_module.interval_seconds(config.interval)
    checked = frame[[table.timestamp, *names]].rename(columns={table.timestamp: "timestamp"})
    problems = find_problems(checked, seconds)
    if problems:
        first = problems[0]
        raise DataError(f"The table's {symbol}: row {first.row} ({first.when}) {first.what}", first.cure)
    returns = frame[table.returns].to_numpy()
    if np.isinf(returns).any():
        raise DataError(f"The table's {symbol} has an infinite {table.returns}", "Mend it, or leave it empty")
    timestamps = microseconds(checked["timestamp"])
    window_ok = np.zeros(len(frame), dtype=bool)
    found = frame[table.label].to_numpy(copy=True)
    for segment in bars_module.segments(timestamps, seconds):
        window_ok[segment][config.window - 1 :] = True
        # The last h rows of a segment cannot know their future, whatever the table says.
        found[segment][-config.horizon :] = labels.NO_LABEL
    return Rows(symbol, timestamps, frame[list(names)].to_numpy(), returns, returns, found, window_ok)
