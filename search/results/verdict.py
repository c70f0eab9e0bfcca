"""The verdict of a confirmation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from search.results.folder import VERDICT_FILE


def read_verdict(campaign: Path) -> dict[str, Any] | None:
    """The verdict of a campaign; None if it was not confirmed.

    Raises:
        ConfigError: its file is damaged.
    """
    path = campaign / VERDICT_FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema_version"] != 1:
            raise ConfigError(f"{path} has schema version {found['schema_version']}", "Upgrade preset-search")
        return dict(found)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read ({error!r})", "Bring it back from a copy") from None
