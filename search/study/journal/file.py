"""Reads the file of a journal, without Optuna: commands that only look at a campaign must start fast.

A line is a JSON object in the format of Optuna's journals. What belongs together is written as one transaction, whose
first line says what the program did and how many lines follow.
"""

from __future__ import annotations

import json
import os
from enum import IntEnum
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from core.files import try_lock

ACT = "act"
"""Key in the first line of a transaction, ignored by Optuna: what the program did."""
LINES = "lines"
"""Key in an act: the number of lines of its transaction, which shows whether a crash left it incomplete."""


class Operation(IntEnum):
    """Codes of the operations in journals, which are Optuna's; from `SET_PARAM` on they change a trial."""

    CREATE_STUDY = 0
    DELETE_STUDY = 1
    SET_STUDY_USER_ATTRIBUTE = 2
    SET_STUDY_SYSTEM_ATTRIBUTE = 3
    CREATE_TRIAL = 4
    SET_PARAM = 5
    SET_STATE = 6
    SET_INTERMEDIATE_VALUE = 7
    SET_USER_ATTRIBUTE = 8
    SET_SYSTEM_ATTRIBUTE = 9


_CODES = frozenset(operation.value for operation in Operation)


def committed_bytes(path: Path) -> bytes:
    """Return the content of a journal without a last transaction that is incomplete; another process may be writing it.

    Args:
        path: path of the journal file.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    _, size = read_committed(path)  # before the content is read: the file may grow in between
    return path.read_bytes()[:size]


def read_committed(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the lines of a journal and their size in bytes, without a last transaction that a crash left incomplete.

    Raises:
        ConfigError: the file cannot be read, a line other than the last is not a JSON object, the size of a transaction
            is not a positive whole number, or a line is not an operation of Optuna on a trial that exists.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror})", "Check that this is the folder of a campaign"
        ) from None
    lines: list[dict[str, Any]] = []
    texts = content.splitlines(keepends=True)
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text) if text.endswith(b"\n") else None
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            if number < len(texts):
                raise ConfigError(f"{path} is damaged at line {number}", "Restore it from a backup")
            break
        lines.append(line)
    count = _count_committed(lines, path)
    _check_operations(lines[:count], path)
    return lines[:count], sum(len(text) for text in texts[:count])


def _count_committed(lines: list[dict[str, Any]], path: Path) -> int:
    """Return how many of the lines belong to complete transactions; the path is for the message of an error."""
    first = 0
    while first < len(lines):
        act = lines[first].get(ACT)
        count = act.get(LINES, 1) if isinstance(act, dict) else 1
        if type(count) is not int or count < 1:
            raise ConfigError(f"{path} is damaged at line {first + 1}", "Restore it from a backup")
        if first + count > len(lines):
            break
        first += count
    return first


def _check_operations(lines: list[dict[str, Any]], path: Path) -> None:
    """Check that each line is an operation of Optuna, on a trial that an earlier line has created."""
    trials = 0
    for number, line in enumerate(lines, start=1):
        if not _is_operation(line, trials):
            raise ConfigError(f"{path} is damaged at line {number}", "Restore it from a backup")
        trials += line["op_code"] == Operation.CREATE_TRIAL


def _is_operation(line: dict[str, Any], trials: int) -> bool:
    """Return whether a line is an operation of Optuna, in a journal with this number of trials before it."""
    code, trial = line.get("op_code"), line.get("trial_id")
    if not isinstance(code, int) or isinstance(code, bool) or code not in _CODES:
        return False
    return code < Operation.SET_PARAM or (type(trial) is int and 0 <= trial < trials)


def is_held(path: Path) -> bool:
    """Return whether a process has the journal open for writing.

    Args:
        path: the journal, which need not exist.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not try_lock(file, path)
    finally:
        os.close(file)
