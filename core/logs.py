"""How this program's loggers are written: as JSON lines to a file, as plain lines to a terminal; never with secrets."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

LOGGERS = ("core", "search")
"""Roots of all loggers of this program; whatever other libraries log is left to them."""
_STANDARD_FIELDS = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime"}
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY", re.IGNORECASE)
_CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_MIN_SECRET_LENGTH = 6
"""Shorter values of the environment, such as `1`, would blot out half of the log."""


def without_secrets(text: str) -> str:
    """Return the text without credentials in URLs and without the values of secret environment variables."""
    text = _CREDENTIALS_IN_URL.sub("***", text)
    for name, value in os.environ.items():
        if len(value) >= _MIN_SECRET_LENGTH and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return text


def _extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that were given as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        content = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra_fields(record),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(content, default=str, ensure_ascii=False))


class PlainLines(logging.Formatter):
    """Formats a record for a terminal: level, message, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = " ".join(f"{name}={value}" for name, value in _extra_fields(record).items())
        return without_secrets(f"{record.levelname.lower()}: {record.getMessage()}  {fields}".rstrip())


@contextmanager
def handling(handler: logging.Handler) -> Iterator[None]:
    """Hand all that this program logs to a handler while the block lasts."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
