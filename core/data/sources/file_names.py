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
_UNTRADED_FOLDERS = ("markPriceKlines", "indexPriceKlines", "premiumIndexKlines", "fundingRate")
"""Folders of Binance's archive whose files are named like those of traded bars, or hold no bars."""
_SUFFIX = r"\.(?:csv|json|feather|parquet|zip)(?:\.gz|\.zip)?"
_FILE_NAMES = (
    # Binance: BTCUSDT-5m-2025-01.zip, BTCUSDT-5m-2025-01-31.csv, coin-margined: BTCUSD_PERP-5m-2025-01.zip
    rf"(?P<symbol>[A-Z0-9]+)(?P<perpetual>_PERP)?-(?P<interval>[1-9]\d*[smhd])-\d{{4}}-\d\d(?:-\d\d)?{_SUFFIX}",
    # freqtrade: BTC_USDT-5m.feather, futures/BTC_USDT_USDT-5m-futures.feather
    rf"(?P<symbol>[A-Z0-9]+_[A-Z0-9]+)(?:_[A-Z0-9]+)?-(?P<interval>[1-9]\d*[smhd])(?:-futures)?{_SUFFIX}",
    # CryptoDataDownload: Binance_BTCUSDT_1h.csv, Binance_BTCUSDT_d.csv; bars of the store in another format
    rf"(?P<exchange>[A-Za-z0-9]+)_(?P<symbol>[A-Z0-9]+)_(?P<interval>[1-9]\d*[smhd]|d|minute){_SUFFIX}",
)
"""Names of files that tell symbol and interval, some of them the exchange."""
_UNTRADED_NAME = rf".+-[1-9]\d*[smhd]-(?:mark|index|premiumIndex|funding_rate){_SUFFIX}"
"""Name of a file in which freqtrade keeps prices at which nothing was traded, or rates of funding."""


@dataclass(frozen=True)
class FileList:
    """The files that some paths mean.

    Attributes:
        files: files that hold data, in the order of the paths, those of a folder in the order of their names.
        ignored: checksums, locks and hidden files, which hold none, and prices at which nothing was traded.
    """

    files: tuple[Path, ...]
    ignored: tuple[Path, ...]

    def describe_ignored(self) -> str:
        """Say which files are ignored, in sentences; empty if none is."""
        untraded = [path for path in self.ignored if is_untraded(path)]
        others = [path for path in self.ignored if path not in untraded]
        sentences = [
            _ignored_text(others, "checksums, locks and hidden files hold no bars"),
            _ignored_text(untraded, "marks, indices and rates of funding are no prices at which anything was traded"),
        ]
        return " ".join(sentence for sentence in sentences if sentence)


def _ignored_text(files: Sequence[Path], reason: str) -> str:
    """Say which files are ignored, and why; empty if there are none."""
    if not files:
        return ""
    more = f" and {len(files) - 1:,} more" if files[1:] else ""
    return f"Ignored {files[0]}{more}: {reason}."


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
        what = "no traded prices by its name" if is_untraded(ignored[0]) else "no bars"
        raise DataError(f"{ignored[0]} holds {what}", "Name the file of bars that lies beside it")
    return FileList(tuple(files), tuple(ignored))


def _is_companion(file: Path, path: Path) -> bool:
    """Return whether a file holds no data by its name; hidden ones count where they are not named themselves."""
    is_hidden = file != path and any(part.startswith(".") for part in file.relative_to(path).parts)
    return is_hidden or file.suffix.lower() in _COMPANIONS or is_untraded(file)


def is_untraded(file: Path) -> bool:
    """Return whether a file holds marks, indices or rates of funding, and no traded bars, by its name or folder."""
    in_folder = any(part in _UNTRADED_FOLDERS for part in file.parts[:-1])
    return in_folder or re.fullmatch(_UNTRADED_NAME, file.name, re.ASCII) is not None


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
    exchange = found.get("exchange")
    if match.re.pattern == _FILE_NAMES[0]:
        exchange = "binancecoinm" if found["perpetual"] else "binance"
    interval = {"d": "1d", "minute": "1m"}.get(found["interval"], found["interval"])
    return NamedFile(
        exchange.lower() if exchange else None, canonical_symbol(found["symbol"]), canonical_interval(interval)
    )
