"""What the tests of several packages of `search` share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.campaigns import make_searched_campaign
from tests.helpers.controllers import ControllerFactory


@pytest.fixture(scope="session")
def searched_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a campaign that has been searched; only to be read."""
    return make_searched_campaign(tmp_path_factory.mktemp("searched") / "results").parent


@pytest.fixture
def in_copy_of_searched_root(searched_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder whose `results` holds a copy of that campaign."""
    shutil.copytree(searched_root, tmp_path / "results")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def controllers(tmp_path: Path) -> Iterator[ControllerFactory]:
    opened = ControllerFactory(tmp_path / "journal.log")
    yield opened
    if opened.study is not None:
        opened.study.close()
