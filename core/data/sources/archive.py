"""Importing bars from the files of other programs: CSV, JSON, Feather and Parquet, plain, in gzip or in zip.

What a file holds is told from its first bytes, not from its name. Columns are mapped by the names that exchanges and
programs of this field use, or as the caller says; what was mapped, dropped and assumed is reported.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from core.config.data import INTERVAL, canonical_interval
from core.data.bars import Bars, find_unshared, join_bars
from core.data.file_format import (
    PRICES,
    REQUIRED,
    SECOND,
    TAKER_FLOW,
    column_microseconds,
    interval_microseconds,
    interval_text,
)
from core.data.instants import read_instants
from core.data.sources.file_names import is_untraded, parse_file_name
from core.data.sources.foreign_columns import (
    COIN_MARGINED,
    adjust_prices,
    check_symbol_column,
    convert_contracts,
    map_columns,
    traded_close,
)
from core.errors import DataError, one_line

MAX_BYTES = 8 * 2**30
"""Limit of the content of one file after decompression; a larger one is refused."""
KLINES = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
"""Columns of Binance's monthly and daily klines, which have no header before 2025."""
CANDLES = ("date", "open", "high", "low", "close", "volume")
"""Columns of a candle without names, as freqtrade's JSON has them."""
_CAUSED_BY_CONTENT = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)
"""Errors that the readers raise for a file whose content is not of the expected form."""
_REMEDY = "Name a file of bars: CSV, JSON, Feather or Parquet, plain, in gzip or in zip"


@dataclass(frozen=True)
class ImportedPart:
    """What was read from one file, or from one member of an archive.

    Attributes:
        name: path of the file, with the member of an archive after a colon.
        format: CSV, JSON, Feather or Parquet.
        mapped: column of the file by the column that it became.
        dropped: columns that were left out.
        rows: number of bars that were kept.
        notes: what was assumed or left out, in sentences without their full stop.
        span: when its first bar opens and its last one ends, in microseconds since 1970; None without bars.
    """

    name: str
    format: str
    mapped: Mapping[str, str]
    dropped: tuple[str, ...]
    rows: int
    notes: tuple[str, ...]
    span: tuple[int, int] | None = None

    def describe_columns(self) -> str:
        """Say what became of the columns, and what was assumed, in sentences."""
        renamed = [f"{original} is {column}" for column, original in self.mapped.items() if column != original]
        sentences = [
            f"Column {', '.join(renamed)}" if renamed else "",
            f"{', '.join(self.dropped)} left out" if self.dropped else "",
            *self.notes,
        ]
        return "".join(f" {sentence}." for sentence in sentences if sentence).strip()


@dataclass(frozen=True)
class _Wanted:
    """What a file is to hold: bars of this exchange, symbol and interval, and columns as `import_bars` is told."""

    exchange: str
    symbol: str
    interval: str
    columns: Mapping[str, str]


def import_bars(
    paths: Sequence[Path], exchange: str, symbol: str, interval: str, columns: Mapping[str, str] | None = None
) -> tuple[Bars, list[ImportedPart]]:
    """Read the bars of one symbol from files of other programs and join them.

    Args:
        paths: the files, see `core.data.sources.file_names.list_files`.
        exchange: name of the exchange that recorded the bars.
        symbol: name of the symbol, for example BTCUSDT.
        interval: length of a bar, for example 5m.
        columns: column of the files by the column that it is to become, where the names are not known.

    Returns:
        The bars in the order of time, and what was read from each part. The bars are not checked further.

    Raises:
        DataError: a file cannot be read, lacks a column, has other bars than the interval says, or contradicts another.
    """
    parts, all_bars = [], []
    for name, content in _contents(paths):
        _check_name(name, exchange, symbol, canonical_interval(interval))
        format_, table, note = _read_table(name, content)
        frame, part = _map_part(name, format_, table, _Wanted(exchange, symbol, interval, columns or {}))
        part = replace(part, notes=tuple(text for text in (note, *part.notes) if text))
        if len(frame):
            bars = Bars(exchange, symbol, canonical_interval(interval), frame)
            all_bars.append(bars)
            part = replace(part, span=(int(bars.opened[0]), int(bars.opened[-1]) + bars.bar))
        parts.append(part)
    if not all_bars:
        raise DataError("The files hold no bar", _REMEDY)
    joined = join_bars(all_bars)
    return joined, [_without_columns(part, find_unshared(all_bars)) for part in parts]


def _without_columns(part: ImportedPart, unshared: Mapping[str, int]) -> ImportedPart:
    """Return a part whose columns that not all parts have are left out, which a note says.

    Args:
        part: what was read from a file.
        unshared: number of parts that have a column, by each column that is left out.
    """
    lost = [column for column in part.mapped if column in unshared]
    if not lost:
        return part
    return replace(
        part,
        mapped={column: original for column, original in part.mapped.items() if column not in lost},
        dropped=(*part.dropped, *(part.mapped[column] for column in lost)),
        notes=(*part.notes, f"{', '.join(lost)} left out: missing in other files"),
    )


def _check_name(name: str, exchange: str, symbol: str, interval: str) -> None:
    """Refuse a file whose name, or whose name in an archive, tells of other bars, or of none that were traded.

    Args:
        name: path of the file, with the member of an archive after a colon.
        exchange: name of the exchange that is imported.
        symbol: name of the symbol that is imported.
        interval: length of a bar that is imported, in its shortest spelling.
    """
    for piece in re.split(r"[/\\:]", name):
        if is_untraded(Path(piece)):
            raise DataError(f"{name} holds no traded prices by its name", "Leave it out")
        named = parse_file_name(piece)
        if named is not None and (named.symbol, named.interval) != (symbol, interval):
            raise DataError(
                f"{name} holds {named.interval} bars of {named.symbol} by its name, not {interval} bars of {symbol}",
                "Leave it out, or rename it if its name is wrong",
            )
        if named is not None and named.exchange == COIN_MARGINED != exchange:
            raise DataError(
                f"{name} holds a coin-margined swap by its name, which {exchange} does not list",
                f"Say --exchange {COIN_MARGINED}",
            )


def _contents(paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the decompressed content of each file, and of each zip member."""
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror})", "Check the path and its permissions") from None
        yield from _decompress(str(path), content)


def _decompress(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what a gzip or zip file contains; any other content as it is."""
    try:
        if content[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
                yield name, _limited(name, stream.read(MAX_BYTES + 1))
        elif content[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for member in archive.infolist():
                    if not member.is_dir() and not member.filename.startswith("__MACOSX/"):
                        with archive.open(member) as stream:
                            yield f"{name}:{member.filename}", _limited(name, stream.read(MAX_BYTES + 1))
        else:
            yield name, content
    except (OSError, EOFError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{name} cannot be decompressed ({one_line(error)})", "Get the file again") from None


def _limited(name: str, content: bytes) -> bytes:
    if len(content) > MAX_BYTES:
        raise DataError(f"{name} holds more than {MAX_BYTES >> 30} GiB", "Split it into smaller files")
    return content


def _read_table(name: str, content: bytes) -> tuple[str, pd.DataFrame, str]:
    """Read a table in the format that its first bytes show.

    Returns:
        The format, the table, and what was assumed of its columns, in a sentence without its full stop; empty if
        nothing was.
    """
    try:
        if content[:4] == b"PAR1":
            return "Parquet", pq.read_table(io.BytesIO(content)).to_pandas().reset_index(), ""
        if content[:6] == b"ARROW1" or content[:4] == b"FEA1":
            return "Feather", pd.DataFrame(pyarrow.feather.read_feather(io.BytesIO(content))), ""
        if content.lstrip()[:1] in (b"[", b"{"):
            return "JSON", *_read_json(content)
        return "CSV", *_read_csv(content)
    except (*_CAUSED_BY_CONTENT, OSError, RecursionError, pa.ArrowException) as error:
        raise DataError(f"{name} cannot be read ({one_line(error)})", _REMEDY) from None


def _assumed(names: Sequence[str]) -> str:
    """Say which columns a table without names was taken to have."""
    layout = "of Binance's klines" if len(names) == len(KLINES) else "of candles"
    return f"Its columns have no names and were taken by their order for those {layout}: {', '.join(names)}"


def _read_json(content: bytes) -> tuple[pd.DataFrame, str]:
    """Read a JSON file; see `_read_table` for what is returned beside the table."""
    rows = json.loads(content)
    if isinstance(rows, dict):
        return pd.DataFrame(rows), ""
    if rows and isinstance(rows[0], list):
        names = KLINES if len(rows[0]) == len(KLINES) else CANDLES
        wrong = next((row for row in rows if not isinstance(row, list) or len(row) != len(names)), None)
        if wrong is not None:
            raise ValueError(f"a row is {str(wrong)[:60]}, not a list of {len(names)} values")
        return pd.DataFrame(rows, columns=list(names)), _assumed(names)
    return pd.DataFrame(rows), ""


def _read_csv(content: bytes) -> tuple[pd.DataFrame, str]:
    """Read a CSV file; see `_read_table` for what is returned beside the table."""
    text = content.decode("utf-8-sig")
    if "\0" in text[:1000]:
        raise ValueError("it is not text")
    lines = text.splitlines()
    # CryptoDataDownload writes its address above the header.
    skipped = 1 if lines and lines[0].lower().startswith("http") else 0
    if len(lines) <= skipped:
        raise ValueError("it is empty")
    first = lines[skipped]
    separator = max(",;\t", key=first.count)
    fields = first.split(separator)
    names = None
    if _is_number(fields[0]):
        layouts = {len(KLINES): KLINES, len(CANDLES): CANDLES}
        if len(fields) not in layouts:
            raise ValueError(f"it has no header, and {len(fields)} columns")
        names = list(layouts[len(fields)])
    table = pd.read_csv(
        io.StringIO(text),
        sep=separator,
        skiprows=skipped,
        header=0 if names is None else None,
        names=names,
        low_memory=False,
    )
    return table, "" if names is None else _assumed(names)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*\"?-?\d+(\.\d*)?\"?\s*", text) is not None


def _map_part(name: str, format_: str, table: pd.DataFrame, wanted: _Wanted) -> tuple[pd.DataFrame, ImportedPart]:
    """Turn a table as it was read into bars in the order of time, and say what was done."""
    table.columns = [str(column) for column in table.columns]
    if repeated := sorted(set(table.columns[table.columns.duplicated()])):
        raise DataError(
            f"{name} has the column(s) {', '.join(repeated)} more than once", "Leave one of them in the file"
        )
    present = list(table.columns)
    mapped = map_columns(name, present, wanted.symbol, wanted.columns)
    check_symbol_column(name, table, wanted.symbol, mapped)
    timestamps, note = read_instants(name, table[mapped["timestamp"]])
    notes = [note]
    frame = pd.DataFrame({"timestamp": timestamps})
    _check_interval(name, frame, wanted.interval)  # while all rows are there
    for column in [*REQUIRED[1:], *TAKER_FLOW]:
        if column in mapped:
            frame[column] = _numbers(name, table[mapped[column]])
    if (traded := traded_close(present, mapped)) is not None:
        notes.append(adjust_prices(frame, _numbers(name, table[traded]), mapped))
    if empty := int(frame[list(PRICES)].isna().all(axis=1).sum()):
        frame = frame[frame[list(PRICES)].notna().any(axis=1)]
        notes.append(f"{empty:,} rows without prices were left out: nothing was traded in them")
    if frame["timestamp"].is_monotonic_decreasing and len(frame) > 1:
        notes.append("The newest bar came first")
    frame = frame.sort_values("timestamp", kind="stable", ignore_index=True)
    if wanted.exchange == COIN_MARGINED:
        mapped, note = convert_contracts(name, frame, wanted.symbol, mapped)
        notes.append(note)
    dropped = tuple(column for column in present if column not in mapped.values())
    return frame, ImportedPart(name, format_, mapped, dropped, len(frame), tuple(notes))


def _numbers(name: str, values: pd.Series) -> pd.Series:
    """Return a column as float64."""
    try:
        return pd.to_numeric(values, errors="raise").astype("float64")
    except _CAUSED_BY_CONTENT as error:
        raise DataError(
            f"{name}: column {values.name} does not hold numbers ({one_line(error)})",
            "Correct it, or choose another column",
        ) from None


def _check_interval(name: str, frame: pd.DataFrame, interval: str) -> None:
    """Check that neighbouring rows are one interval apart more often than any other time, prices or none in them.

    Where most bars are missing, because nothing was traded in them, most of the others still do not follow each other.
    """
    steps = np.diff(np.unique(column_microseconds(frame["timestamp"])))
    if len(steps) == 0:
        return
    lengths, counts = np.unique(steps, return_counts=True)
    usual = int(lengths[np.argmax(counts)])  # the shortest of those that are as frequent
    if usual == interval_microseconds(interval):
        return
    length = interval_text(usual) if usual % SECOND == 0 else ""
    if re.fullmatch(INTERVAL, length, re.ASCII):
        raise DataError(f"{name} has bars of {length}, not {interval}", f"Say --interval {length}")
    raise DataError(
        f"{name} has bars {usual / SECOND:g} seconds apart, not {interval}",
        "Check its column of times: no interval has this length",
    )
