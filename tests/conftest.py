"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

pytest.register_assert_rewrite("tests.contracts.engine")

# pytest-xdist says 80 columns, which would squeeze every table; `core.console` reads it when it is imported.
os.environ.pop("COLUMNS", None)

# One thread is what trials get, makes runs repeatable, and keeps parallel test jobs off each other's toes.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded bars that may lie beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recorded bars: {folder} does not exist")
    return folder
