"""A small dataset, and trials that are trained on it in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.config import DataConfig, SyntheticConfig
from core.data.dataset import Dataset, load_dataset
from search.engine.job import TrialJob
from search.engine.trainable import TrainingTrial
from search.storage.filesystem import Storage
from tests.helpers.trial_jobs import BASE, RESOURCES, Start


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataConfig(synthetic=SyntheticConfig(bars=4500)))


@pytest.fixture
def job(tmp_path: Path) -> TrialJob:
    return TrialJob(
        BASE.with_trainer(epochs=3, patience=None), RESOURCES, Storage(str(tmp_path / "checkpoints")), rungs=(1, 2)
    )


@pytest.fixture
def start(job: TrialJob, dataset: Dataset) -> Start:
    class BoundTrial(TrainingTrial):
        """What `tune.with_parameters` makes, without Ray."""

        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config, job=job, load=lambda: dataset)

    return BoundTrial
