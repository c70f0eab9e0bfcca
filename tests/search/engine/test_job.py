"""A job sets a process up for its trainings, and says why one failed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from core.config import HYPERPARAMETER_NAMES
from core.data.dataset import Dataset
from search.cluster.nodes import UnfitNodeError
from search.cluster.software import installed_software
from search.engine.job import TrialJob, classify_error
from search.engine.trainable import TrainingTrial
from search.storage.filesystem import Storage
from tests.helpers.trial_jobs import HYPERPARAMETERS, Start, reported_failure, trial_config

pytestmark = pytest.mark.costly


def test_the_six_values_and_nothing_else_replace_the_recipes(job: TrialJob) -> None:
    config = job.training_config(HYPERPARAMETERS)
    values = {
        **config.trainer.model_dump(include={"learning_rate", "batch_size", "weight_decay"}),
        "dropout": config.model.dropout,
        "focal_gamma": config.loss.focal_gamma,
        "mixup_alpha": config.augment.mixup_alpha,
    }
    assert values == HYPERPARAMETERS
    assert tuple(values) == HYPERPARAMETER_NAMES
    restored = config.model_copy(
        update={
            "model": job.base.model,
            "loss": job.base.loss,
            "augment": job.base.augment,
            "trainer": job.base.trainer,
        }
    )
    assert restored == job.base


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"), "out of memory"),
        (RuntimeError("shapes cannot be\nmultiplied"), "failure"),
    ],
)
def test_running_out_of_memory_is_distinguished_from_other_failures(error: Exception, cause: str) -> None:
    failure = classify_error(error)
    assert failure.cause == cause
    assert "\n" not in failure.reason


def test_a_machine_with_other_software_does_not_train(start: Start, job: TrialJob, dataset: Dataset) -> None:
    software = installed_software()
    other = replace(software, versions={**software.versions, "torch": "1.0"})

    class BoundTrial(TrainingTrial):
        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config, job=replace(job, software=other), load=lambda: dataset)

    result = BoundTrial(trial_config()).step()
    assert reported_failure(result).cause == "unfit node"
    assert "torch" in reported_failure(result).reason


def test_a_machine_that_sees_another_storage_does_not_train(job: TrialJob, dataset: Dataset) -> None:
    owner_token = job.storage.claim()
    assert replace(job, owner_token=owner_token).prepare().type == "cpu"
    with pytest.raises(UnfitNodeError, match="does not see what the driver wrote to"):
        replace(job, owner_token=owner_token, storage=Storage(job.storage.location + "-of-another-machine")).prepare()
    job.storage.claim()  # of a driver that came later
    with pytest.raises(UnfitNodeError, match="was taken over by another driver"):
        replace(job, owner_token=owner_token).prepare()
