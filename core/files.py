"""Reads and writes files: written whole or not at all; YAML, JSON and Parquet; a hash of source files."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import io
import json
import math
import os
import re
import secrets
import tempfile
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from core.errors import ConfigError, one_line

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Write a file whole or not at all: yield a temporary path, and rename it to `path` when the block ends well.

    Args:
        path: the file; its folder is created if needed.

    Yields:
        A path in the same folder, since a rename is atomic only within one file system.

    Raises:
        ConfigError: the folder or the file cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The file gets the user's default permissions; one of `tempfile.mkstemp` could be read by its owner alone.
        name = path.parent / f".{path.stem}.{secrets.token_hex(4)}{path.suffix}"
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        temporary = name
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # otherwise a crash can leave the new name without its content
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror or error})",
            "Choose a folder that you may write to, with free space",
        ) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes to a file, whole or not at all.

    Raises:
        ConfigError: the folder or the file cannot be written.
    """
    with writing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text to a file as UTF-8, whole or not at all.

    Raises:
        ConfigError: the folder or the file cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


_ENCODINGS = {"f": "BYTE_STREAM_SPLIT", "M": "DELTA_BINARY_PACKED"}
"""Parquet encodings of floats and of instants, by NumPy kind; all other columns compress best with a dictionary."""


def table_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as the bytes of a Parquet file.

    Where most columns are floats and instants, the file is half as large as the one that pandas writes by default.
    """
    encoding = {str(name): _ENCODINGS[kind.kind] for name, kind in table.dtypes.items() if kind.kind in _ENCODINGS}
    buffer = io.BytesIO()
    table.to_parquet(
        buffer,
        index=False,
        compression="zstd",
        use_dictionary=[name for name in table.columns if name not in encoding],
        column_encoding=encoding or None,
    )
    return buffer.getvalue()


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, whole or not at all.

    Raises:
        ConfigError: the folder or the file cannot be written.
    """
    write_bytes(path, table_bytes(table))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a mapping as JSON, whole or not at all; numbers that JSON lacks (NaN, infinity) become null.

    Raises:
        TypeError: a value has no form in JSON.
        ConfigError: the folder or the file cannot be written.
    """
    write_text(path, json.dumps(_json_value(content), indent=2, allow_nan=False) + "\n")


def _json_value(value: Any) -> Any:
    """Return a value with NaN and infinity replaced by None, at any depth."""
    if isinstance(value, dict):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def try_lock(file: int | IO[Any], path: Path) -> bool:
    """Lock an open file or folder for this process, until it is closed or the process ends, however it ends.

    Args:
        file: the open file, or its descriptor.
        path: its path, for the message.

    Returns:
        whether it is locked; False if another process has locked it.

    Raises:
        ConfigError: the file system does not support locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be locked ({error.strerror})", "Choose a folder on a file system that supports locks"
        ) from None
    return True


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Lock a folder for this process while the block lasts; remove it afterwards if it is still empty.

    Args:
        folder: the folder; it is created if needed.

    Raises:
        ConfigError: another process has locked the folder, or it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror})", "Choose a folder that you may write to"
        ) from None
    try:
        if not try_lock(handle, folder):
            raise ConfigError(
                f"Another process is writing to {folder}", "Choose another folder, or wait for that process"
            )
        try:
            yield
        finally:
            with suppress(OSError):  # the folder is not empty
                folder.rmdir()
    finally:
        os.close(handle)


def check_writable(folder: Path) -> None:
    """Check, before long work, that files can be created in a folder.

    Args:
        folder: the folder; if it does not exist, the nearest folder above it is checked.

    Raises:
        ConfigError: no file can be created there.
    """
    try:
        existing = folder.absolute()
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir():
            raise NotADirectoryError(20, "Not a directory")
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror})", "Choose a folder that you may write to"
        ) from None


def expand_globs(paths: Sequence[Path]) -> list[Path]:
    """Return the files that these paths name; one that does not exist and holds `*`, `?` or `[` is a glob.

    Raises:
        ConfigError: a glob matches no file.
    """
    files: list[Path] = []
    for path in paths:
        if path.exists() or not glob.has_magic(str(path)):
            files.append(path)
        elif matches := sorted(Path(name) for name in glob.glob(str(path), recursive=True)):  # noqa: PTH207 - Path.glob takes no absolute one
            files += [match for match in matches if match not in files]
        else:
            raise ConfigError(f"No file matches {path}", "Check the path")
    return files


def source_digest(*packages: Path) -> str:
    """Return the SHA-256 of all Python files, stubs and YAML files of some packages.

    Args:
        *packages: folders of the packages; paths within them and the contents of files are hashed.
    """
    digest = hashlib.sha256()
    for package in packages:
        paths = (path for suffix in ("py", "pyi", "yaml") for path in package.rglob(f"*.{suffix}"))
        for path in sorted(paths):
            digest.update(f"{package.name}/{path.relative_to(package)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


@contextmanager
def reading(path: Path | str, remedy: str = "Restore it from a backup") -> Iterator[None]:
    """Turn any error that a damaged file causes in the block into one that names the file.

    Args:
        path: the file that the block reads, or a name for it in the message.
        remedy: what the reader of the error can do, as an imperative sentence without its full stop.

    Raises:
        ConfigError: the block raised an error that a missing, unreadable or damaged file causes.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read ({_reason(error)})", remedy) from None


def _reason(error: Exception) -> str:
    """Return in plain words what is wrong with a file, given the error that reading it raised."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, ValidationError):
        problem = error.errors()[0]
        return ": ".join(filter(None, (".".join(str(part) for part in problem["loc"]), problem["msg"])))
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]}" if error.args else "a key is missing"
    if isinstance(error, (TypeError, IndexError, AttributeError, RecursionError)):
        return "its content is not of the expected form"
    return one_line(error)[:200] or "its content is not of the expected form"


class _Loader(yaml.SafeLoader):  # the loader in C crashes the process on deeply nested input
    """Loads YAML safely, reads `1e-4` as a number (YAML 1.1 requires `1.0e-4`), and refuses repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping; refuse a key that is set twice, of which YAML itself would silently keep the last."""
        keys = [str(key.value) for key, _ in node.value]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{', '.join(twice)} is set twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """Dumps YAML safely, and so that `_Loader` reads every text back unchanged."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Return a text, in double quotes if it holds a NEL: elsewhere YAML reads that as an ordinary line break."""
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"' if "\x85" in data else None)


_Dumper.add_representer(str, _Dumper.represent_str)


for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d[\d_]*(?:\.[\d_]*)?[eE][-+]?\d+$"), list("-+0123456789")
    )


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping; no code in it is ever run.

    Args:
        path: the YAML file, in UTF-8.

    Returns:
        The mapping, with the keys in the order of the file.

    Raises:
        ConfigError: the file cannot be read, is not valid YAML, or does not hold a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})", "Check the path and its permissions") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid YAML ({_yaml_reason(error)})", "Fix the file at that place") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no settings", "Write it as lines of `key: value`")
    return content


def _yaml_reason(error: Exception) -> str:
    """Return what is wrong in a YAML file, and where, without the parser's own account of its work."""
    match error:
        case yaml.MarkedYAMLError(problem=str(problem), problem_mark=yaml.Mark(line=line, column=column)):
            return f"line {line + 1}, column {column + 1}: {problem}"
        case yaml.reader.ReaderError(reason=str(reason), position=int(position)):
            return f"character {position + 1}: {reason}"
        case RecursionError():
            return "it is nested too deeply"
    return one_line(error)


def to_yaml(content: dict[str, Any]) -> str:
    """Return plain content as YAML, which `read_yaml` reads back unchanged; the text is the same on every machine."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=110)
