"""The driver's log, `driver.log` in the campaign's folder: one JSON object per line, for people and for their tools.

The record of a campaign is its journal, not its log: a log that cannot be written does not end a campaign.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from core.logs import JsonLines, handling

_LOG = logging.getLogger(__name__)


class _LenientFileHandler(logging.FileHandler):
    """Writes log lines to a file, and drops those that cannot be written."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Drop a line that could not be written."""

    def close(self) -> None:
        """Close the file, and drop what a full disk did not take until then."""
        with suppress(OSError):
            super().close()


@contextmanager
def driver_log(path: Path) -> Iterator[None]:
    """Append all that this program logs to a file while the block lasts.

    Args:
        path: the log file; where it cannot be opened, nothing is written.
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
