"""Settings that are read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.files import read_yaml


def read_settings(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "settings.yaml"
    path.write_text(text)
    return read_yaml(path)
