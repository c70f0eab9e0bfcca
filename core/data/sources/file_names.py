"""Names of data files: which files of a folder hold data, and what the names of other programs' files tell."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config.data import canonical_interval, canonical_symbol
from core.errors import DataError
from core.files import expand_globs

_COMPANIONS = (".checksum", ".lock")
"""Endings of files that lie beside data files and hold no bars: Binance's checksums, and the locks of a store."""
_SUFFIX = r"\.(?:csv|json|feather|parquet|zip)(?:\.gz|\.zip)?"
_FILE_NAMES = (
    # Binance: BTCUSDT-5m-2025-01.zip, BTCUSDT-5m-2025-01-31.csv
    rf"(?P<symbol>[A-Z0-9]+)-(?P<interval>[1-9]\d*[smhd])-\d{{4}}-\d\d(?:-\d\d)?{_SUFFIX}",
    # freqtrade: BTC_USDT-5m.feather, futures/BTC_USDT_USDT-5m-futures.feather
    rf"(?P<symbol>[A-Z0-9]+_[A-Z0-9]+)(?:_[A-Z0-9]+)?-(?P<interval>[1-9]\d*[smhd])(?:-futures)?{_SUFFIX}",
    # CryptoDataDownload: Binance_BTCUSDT_1h.csv, Binance_BTCUSDT_d.csv; bars of the store in another format
    rf"(?P<exchange>[A-Za-z0-9]+)_(?P<symbol>[A-Z0-9]+)_(?P<interval>[1-9]\d*[smhd]|d|minute){_SUFFIX}",
)
"""Names of files that tell symbol and interval, some of them the exchange."""


@dataclass(frozen=True)
class FileList:
    """The files that some paths mean.

    Attributes:
        files: files that hold data, in the order of the paths, those of a folder in the order of their names.
        ignored: checksums, locks and hidden files, which hold none.
    """

    files: tuple[Path, ...]
    ignored: tuple[Path, ...]

    def describe_ignored(self) -> str:
        """Say which files are ignored, in a sentence; empty if none is."""
        if not self.ignored:
            return ""
        first, others = self.ignored[0], len(self.ignored) - 1
        more = f" and {others:,} more" if others else ""
        return f"Ignored {first}{more}: checksums, locks and hidden files hold no bars."


def list_files(paths: Sequence[Path]) -> FileList:
    """Return the files that these paths mean: files, globs, or folders, which stand for all files below them.

    Raises:
        ConfigError: a glob matches no file.
        DataError: a folder, or everything together, has no file that may hold data.
    """
    files: list[Path] = []
    ignored: list[Path] = []
    for path in expand_globs(paths):
        in_folder = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
        held = [item for item in in_folder if not _is_companion(item, path)]
        if path.is_dir() and not held:
            raise DataError(f"The folder {path} has no file of bars", "Name a file of bars, or a folder of such files")
        files += [item for item in held if item not in files]
        ignored += [item for item in in_folder if item not in held]
    if ignored and not files:
        raise DataError(f"{ignored[0]} holds no bars", "Name the file of bars that lies beside it")
    return FileList(tuple(files), tuple(ignored))


def _is_companion(file: Path, path: Path) -> bool:
    """Return whether a file holds no data by its name; hidden ones count where they are not named themselves."""
    is_hidden = file != path and any(part.startswith(".") for part in file.relative_to(path).parts)
    return is_hidden or file.suffix.lower() in _COMPANIONS


@dataclass(frozen=True)
class NamedFile:
    """What the name of another program's file tells.

    Attributes:
        exchange: name of the exchange; None if the name does not tell it.
        symbol: name of the symbol, for example BTCUSDT.
        interval: length of a bar, for example 5m.
    """

    exchange: str | None
    symbol: str
    interval: str


def parse_file_name(name: str) -> NamedFile | None:
    """Return what the name of a file tells if Binance, freqtrade or CryptoDataDownload name files like this.

    >>> parse_file_name("BTC_USDT-5m.feather")
    NamedFile(exchange=None, symbol='BTCUSDT', interval='5m')
    """
    match = next((match for pattern in _FILE_NAMES if (match := re.fullmatch(pattern, name, re.ASCII))), None)
    if match is None:
        return None
    found = match.groupdict()
    exchange = found.get("exchange") or ("binance" if match.re.pattern == _FILE_NAMES[0] else None)
    interval = {"d": "1d", "minute": "1m"}.get(found["interval"], found["interval"])
    return NamedFile(
        exchange.lower() if exchange else None, canonical_symbol(found["symbol"]), canonical_interval(interval)
    )
