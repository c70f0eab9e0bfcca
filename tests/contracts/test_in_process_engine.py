from __future__ import annotations

import pytest

from search.engine.in_process import InProcessEngine
from search.engine.protocol import Engine
from tests.contracts.engine import EngineContract, small_dataset

pytestmark = pytest.mark.costly

__all__ = ["small_dataset"]


class TestInProcessEngine(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return InProcessEngine()
