"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

# One thread is what trials get, makes runs repeatable, and keeps parallel test jobs off each other's toes.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded bars that may lie beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no recorded bars: {folder} does not exist")
    return folder
