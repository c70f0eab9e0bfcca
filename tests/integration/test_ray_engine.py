"""The engine's contract on real Ray; and that it trains to the same last bit as the engine without Ray."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from core.data.dataset import Dataset
from search.cluster.session import ray_session
from search.engine.in_process import InProcessEngine
from search.engine.protocol import Engine
from search.engine.ray_engine import RayEngine
from tests.contracts.engine import EngineContract, run_small_study, small_dataset

__all__ = ["small_dataset"]


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    """One local cluster for all tests here: starting one takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_worker_niceness", raising=False)
        with ray_session():
            yield


def test_trainings_do_not_give_way_to_other_programs() -> None:
    niceness = ray.remote(num_cpus=0)(lambda: os.getpriority(os.PRIO_PROCESS, 0))
    assert ray.get(niceness.remote()) == os.getpriority(os.PRIO_PROCESS, 0)


class TestRayEngine(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return RayEngine()

    def test_it_trains_what_the_engine_in_this_process_trains(
        self, engine: Engine, small_dataset: Dataset, tmp_path: Path
    ) -> None:
        for name in ("ray", "here"):
            (tmp_path / name).mkdir()
        on_ray = run_small_study(engine, tmp_path / "ray", small_dataset, trials=2)
        assert on_ray == run_small_study(InProcessEngine(), tmp_path / "here", small_dataset, trials=2)
