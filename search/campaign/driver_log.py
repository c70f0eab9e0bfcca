"""The driver's log, `driver.log` in the campaign's folder: one JSON object a line, for people and for their tools.

It is no record: the journal is. A log that cannot be written is no reason to end a campaign.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.logs import JsonLines, handling

_LOG = logging.getLogger(__name__)


class _LenientFileHandler(logging.FileHandler):
    """Gives up a line that cannot be written."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Do nothing."""


@contextmanager
def driver_log(path: Path) -> Iterator[None]:
    """Append what this program logs to a file while the block lasts.

    Args:
        path: the log file.
    """
    handler: logging.Handler
    try:
        handler = _LenientFileHandler(path, encoding="utf-8")
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(JsonLines())
    with handling(handler):
        try:
            yield
        except BaseException as error:
            _LOG.warning("run ended by an error", extra={"error": type(error).__name__, "reason": str(error)})
            raise
        finally:
            handler.close()
