"""What the tests of the study share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.controllers import ControllerFactory


@pytest.fixture
def controllers(tmp_path: Path) -> Iterator[ControllerFactory]:
    opened = ControllerFactory(tmp_path / "journal.log")
    yield opened
    if opened.study is not None:
        opened.study.close()
