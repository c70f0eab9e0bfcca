"""The driver's log, `driver.log` in the campaign's folder: one JSON object a line, for people and for their tools.

It is no record: the journal is. A log that cannot be written is no reason to end a campaign.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

LOGGERS = ("core", "search")
"""Roots of all loggers of this program."""
_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime"}
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY", re.IGNORECASE)
_CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_MIN_SECRET_LENGTH = 6
"""Shorter values of the environment, such as `1`, would blot out half of the log."""


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, message, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with secrets blotted out."""
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        content = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields,
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(content, default=str, ensure_ascii=False))


def without_secrets(text: str) -> str:
    """Return the text without credentials in URLs and without the values of secret environment variables."""
    text = _CREDENTIALS_IN_URL.sub("***", text)
    for name, value in os.environ.items():
        if len(value) >= _MIN_SECRET_LENGTH and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return text


class _QuietFileHandler(logging.FileHandler):
    """Gives up a line that cannot be written."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Do nothing."""


@contextmanager
def driver_log(path: Path) -> Iterator[None]:
    """Append what this program logs to a file while the block lasts.

    Args:
        path: the log file.
    """
    handler: logging.Handler = logging.NullHandler()
    with suppress(OSError):
        handler = _QuietFileHandler(path, encoding="utf-8", delay=False)
    handler.setFormatter(JsonLines())
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(handler)
    try:
        yield
    except BaseException as error:
        logging.getLogger(__name__).info("run ended by %s: %s", type(error).__name__, error)
        raise
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
        handler.close()
