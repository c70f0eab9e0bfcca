"""What pyproject.toml puts into the wheel is what the checkout holds: an editable install would hide the difference."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

from setuptools import find_packages

ROOT = Path(__file__).parents[2]
FILES = [
    p.relative_to(ROOT)
    for top in ("core", "search")
    for p in (ROOT / top).rglob("*")
    if p.is_file() and p.suffix != ".pyc"
]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def test_every_package_is_found() -> None:
    found = find_packages(str(ROOT), include=SETUPTOOLS["packages"]["find"]["include"])
    assert sorted(found) == sorted({".".join(file.parts[:-1]) for file in FILES})


def test_every_file_that_is_not_a_module_is_listed() -> None:
    data = SETUPTOOLS["package-data"]
    for file in FILES:
        if file.suffix != ".py":
            patterns = [*data["*"], *data.get(".".join(file.parts[:-1]), [])]
            assert any(fnmatch(file.name, pattern) for pattern in patterns), file
