"""What all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.register_assert_rewrite("tests.contracts.engine")

# One thread is what trials get, makes runs repeatable, and keeps parallel test jobs off each other's toes.
torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _default_width() -> Iterator[None]:
    """Remove the 80 columns that pytest-xdist sets, which would squeeze every table."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded bars that may lie beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recorded bars: {folder} does not exist")
    return folder
