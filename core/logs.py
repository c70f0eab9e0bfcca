"""Formats of this program's log: JSON lines for files, plain lines for terminals; neither contains secrets."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

LOGGERS = ("core", "search")
"""Roots of all loggers of this program; the loggers of other libraries are left alone."""
_STANDARD_FIELDS = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime"}
_SECRET_NAME = re.compile(
    r"SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|_(?:PASS|PWD|SAS|AUTH)$",
    re.IGNORECASE,
)
_WORD = r"(?:secret|token|password|passwd|passphrase|credential|api[_-]?key|access[_-]?key)"
_CREDENTIALS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(://)(?:[^/\s]{1,500}|[^/\s:]{1,500}:(?!\d+/)\S{1,500})(?=@)",
        rf"([?&][^?=&\s]{{0,50}}(?:{_WORD}|sig|key)[^?=&\s]{{0,50}}=)[^&\s]+",
        r"(authorization: {0,9}(?:\w{1,50} {1,9})?|\bbearer {1,9})[\w.~+/=-]{6,}",
        rf"({_WORD}[\"']?\s{{0,9}}[:=]\s{{0,9}}[\"']?)[^\s\"',;&]{{6,}}",
        rf"(--[\w-]{{0,50}}{_WORD} )\S{{6,}}",
    )
]
"""Where credentials follow in a text: in a URL, in its query, in an HTTP header, in a setting, in an option.

All lengths are bounded, so that no text takes long.
"""
_MIN_SECRET_LENGTH = 6
"""Minimum length in characters; hiding shorter values, such as `1`, would make the log unreadable."""


def without_secrets(text: str) -> str:
    """Return the text without what looks like credentials, and without the values of secret environment variables."""
    for credentials in _CREDENTIALS:
        text = credentials.sub(r"\1***", text)
    secrets = (value for name, value in os.environ.items() if _SECRET_NAME.search(name))
    for secret in sorted(secrets, key=len, reverse=True):  # a short one may be the beginning of a longer one
        if len(secret) >= _MIN_SECRET_LENGTH:
            text = text.replace(secret, "***")
    return text


def _redact(value: Any) -> Any:
    """Return a value in plain JSON types, without secrets in any text that it holds.

    Secrets must be hidden before the value becomes a line: JSON escapes quotes, so a secret with one no longer matches.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no number that is not finite
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {
            without_secrets(str(key)): "***" if item and _SECRET_NAME.search(str(key)) else _redact(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_redact(item) for item in value]
    return without_secrets(str(value))


def _extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that were given as `extra`; libraries such as Ray add others, whose names begin with `_`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS and name[0] != "_"}


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        content = _extra_fields(record) | {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(_redact(content), ensure_ascii=False, allow_nan=False)


class PlainLines(logging.Formatter):
    """Formats a record for a terminal: level, message, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of text."""
        fields = " ".join(f"{name}={_redact(value)}" for name, value in _extra_fields(record).items())
        return f"{record.levelname.lower()}: {without_secrets(record.getMessage())}  {fields}".rstrip()


@contextmanager
def handling(handler: logging.Handler) -> Iterator[None]:
    """Pass all that this program logs to a handler while the block lasts.

    Args:
        handler: the handler, with its formatter; levels and handlers of the loggers are restored afterwards.
    """
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
