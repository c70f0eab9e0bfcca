"""The verdict of a confirmation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.errors import ConfigError
from core.files import reading

Verdict = dict[str, Any]


def read_verdict(path: Path) -> Verdict | None:
    """Read a verdict; None if there is no such file.

    Raises:
        ConfigError: the file is damaged, or of a version that this program does not know.
    """
    if not path.is_file():
        return None
    with reading(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema_version"]
    if version != 1:
        raise ConfigError(f"{path} has schema version {version}", "Upgrade preset-search")
    return dict(content)
