from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import preset
from core.config import DataConfig, SyntheticConfig
from core.dataset import Dataset, load
from search.space import NAMES
from search.trial import WORST_VALUE, TrainingTrial, TrialJob

Start = Callable[[dict[str, Any]], TrainingTrial]

SIX = {
    "learning_rate": 1e-3,
    "batch_size": 128,
    "weight_decay": 0.05,
    "dropout": 0.25,
    "focal_gamma": 1.5,
    "mixup_alpha": 0.0,
}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load(DataConfig(synthetic=SyntheticConfig(bars=4500)))


@pytest.fixture
def job() -> TrialJob:
    base = preset.load("production_small").training_config(size="quick", metric="macro_f1", seed=0)
    trainer = base.trainer.model_copy(update={"epochs": 2, "patience": None})
    return TrialJob(base.model_copy(update={"trainer": trainer}), "cpu", threads=1)


@pytest.fixture
def start(job: TrialJob, dataset: Dataset) -> Start:
    class BoundTrial(TrainingTrial):
        """What `tune.with_parameters` makes, without Ray."""

        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config, job=job, dataset=dataset)

    return BoundTrial


def test_the_six_values_and_nothing_else_replace_the_recipes(job: TrialJob) -> None:
    config = job.training_config(SIX)
    found = {
        **config.trainer.model_dump(include={"learning_rate", "batch_size", "weight_decay"}),
        "dropout": config.model.dropout,
        "focal_gamma": config.loss.focal_gamma,
        "mixup_alpha": config.augment.mixup_alpha,
    }
    assert found == SIX
    assert set(SIX) == set(NAMES)
    back = job.training_config(
        {
            **job.base.trainer.model_dump(include={"learning_rate", "batch_size", "weight_decay"}),
            "dropout": job.base.model.dropout,
            "focal_gamma": job.base.loss.focal_gamma,
            "mixup_alpha": job.base.augment.mixup_alpha,
        }
    )
    assert back == job.base


def test_a_step_is_an_epoch_and_the_last_says_done(start: Start) -> None:
    trial = start(SIX)
    first, second = trial.step(), trial.step()
    assert (first["epoch"], first["done"], first["outcome"]) == (1, False, "training")
    assert (second["epoch"], second["done"]) == (2, True)
    assert second["value"] == max(first["score"], second["score"])


def test_a_reused_process_gives_what_a_fresh_one_gives(start: Start) -> None:
    other = {**SIX, "learning_rate": 1e-4, "batch_size": 64}
    fresh = start(other).step()
    reused = start(SIX)
    reused.step()
    assert reused.reset_config(other)
    assert reused.step()["metrics"] == fresh["metrics"]


def test_a_failure_of_our_own_is_a_result_with_its_reason(start: Start) -> None:
    # A learning rate beyond all reason makes the weights, then the loss, overflow.
    trial = start({**SIX, "learning_rate": 1e30})
    result = trial.step()
    assert result["outcome"] == "failed"
    assert result["reason"].startswith("NonFiniteLossError: The training loss is not finite at step")
    assert result["value"] == WORST_VALUE
    assert result["done"]


def test_a_checkpoint_continues_the_trial(start: Start, tmp_path: Path) -> None:
    whole = start(SIX)
    whole.step()
    whole.save_checkpoint(str(tmp_path))
    continued = start(SIX)
    continued.load_checkpoint(str(tmp_path))
    assert continued.step()["metrics"] == whole.step()["metrics"]
