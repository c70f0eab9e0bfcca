from __future__ import annotations

import pytest
from hypothesis import settings

from core.data.dataset import Dataset, load_dataset
from tests.helpers.market import market_config

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """A small learnable dataset of one symbol. Its arrays are read-only: nobody may change what is shared."""
    made = load_dataset(market_config())
    for array in (made.features, made.labels, made.returns, made.timestamps, made.symbols):
        array.flags.writeable = False
    return made
