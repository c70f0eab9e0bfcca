"""The contract of every engine: a test class inherits `EngineContract` and defines an `engine` fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core import presets
from core.config import DataConfig, SyntheticConfig
from core.data.dataset import Dataset, load_dataset
from core.errors import ConfigError
from search.cluster.resources import TrialResources
from search.engine.job import TrialJob
from search.engine.protocol import Engine, Finished
from search.storage.filesystem import Storage, StorageError
from search.study.controller import Budget, Controller, Rules
from search.study.retries import TrainingFailure
from search.study.settings import StudySettings
from search.study.space import SpaceConfig
from search.study.study import CampaignStudy

RESOURCES = TrialResources("cpu", 1, 0.0, 1)
SETTINGS = StudySettings("c", SpaceConfig().distributions(), "random", "complete", seed=3)
RULES = Rules(max_epochs=2, grace=1, reduction=2, concurrency=1)


def count_up(count: int) -> Iterator[int]:
    yield from range(count)


def rows_of(dataset: Dataset) -> Iterator[int]:
    yield len(dataset.train)


def fail_after(count: int, error: Exception) -> Iterator[int]:
    yield from range(count)
    raise error


def read_study(path: Path) -> list[tuple[Any, ...]]:
    """Return all that a journal holds of its trials, without times."""
    study = CampaignStudy(path, SETTINGS)
    try:
        return [
            (
                trial.number,
                trial.params,
                trial.outcome,
                trial.reason,
                [{**epoch.as_row(), "seconds": None} for epoch in trial.epochs.values()],
                [epoch.decision for epoch in trial.epochs.values()],
            )
            for trial in study.trials.values()
        ]
    finally:
        study.close()


def run_small_study(engine: Engine, folder: Path, dataset: Dataset, trials: int = 4) -> list[tuple[Any, ...]]:
    """Run a few trials of two epochs on an engine, and return all that the journal holds of them."""
    recipe = presets.load_preset("quick_experiment").training_config(size="quick", metric="macro_f1", seed=0)
    recipe = recipe.with_trainer(epochs=RULES.max_epochs, patience=None)
    job = TrialJob(recipe, RESOURCES, Storage(str(folder / "storage")), rungs=(1,))
    study = CampaignStudy(folder / "journal.log", SETTINGS)
    controller = Controller(study, RULES, Budget(trials))
    with engine.session():
        engine.run_trials(job, engine.share(dataset), controller, folder / "scratch", lambda: None, 1)
    study.close()
    assert controller.failure is None, controller.failure
    return read_study(folder / "journal.log")


@pytest.fixture(scope="module")
def small_dataset() -> Dataset:
    return load_dataset(DataConfig(synthetic=SyntheticConfig(bars=4500))).without_test()


class EngineContract:
    """Tests that every engine must pass; a subclass defines the `engine` fixture."""

    def test_results_arrive_in_order_and_then_the_end(self, engine: Engine) -> None:
        with engine.session():
            stream = engine.start(count_up, (3,), RESOURCES)
            results = []
            while not results or not isinstance(results[-1], Finished):
                if engine.wait([stream], 60.0):
                    results.append(stream.take())
        assert results == [0, 1, 2, Finished()]

    @pytest.mark.parametrize(
        ("error", "cause"),
        [
            (ConfigError("It is wrong", "Change it"), "failure"),
            (ValueError("wrong"), "failure"),
            (MemoryError(), "out of memory"),
            (StorageError("It is down", "Wait"), "storage"),
        ],
    )
    def test_an_error_is_a_failure_with_its_cause_after_the_results_before_it(
        self, engine: Engine, error: Exception, cause: str
    ) -> None:
        with engine.session():
            stream = engine.start(fail_after, (1, error), RESOURCES)
            first, failure = stream.take(), stream.take()
        assert first == 0
        assert isinstance(failure, TrainingFailure)
        assert failure.cause == cause

    def test_a_shared_dataset_arrives_in_the_training(self, engine: Engine, small_dataset: Dataset) -> None:
        with engine.session():
            stream = engine.start(rows_of, (engine.share(small_dataset),), RESOURCES)
            assert stream.take() == len(small_dataset.train)

    def test_every_trial_ends_once_and_is_in_the_journal(
        self, engine: Engine, small_dataset: Dataset, tmp_path: Path
    ) -> None:
        trials = run_small_study(engine, tmp_path, small_dataset)
        assert [number for number, *_ in trials] == [0, 1, 2, 3]
        assert {outcome for _, _, outcome, *_ in trials} <= {"complete", "stopped"}
        assert trials[0][2] == "complete"  # the first to reach a rung always continues
        assert all(decisions[0] is not None for *_, decisions in trials)
