from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from core import presets
from core.config import HYPERPARAMETER_NAMES, DataConfig, Hyperparameters, SyntheticConfig
from core.data.dataset import Dataset, load_dataset
from core.evaluation import backtest, metrics
from search.cluster.nodes import UnfitNodeError
from search.cluster.resources import TrialResources
from search.cluster.software import installed_software
from search.engine.job import TrialJob, classify_error
from search.engine.trainable import TrainingTrial
from search.results.folder import PREDICTIONS_FILE, RETURNS_FILE
from search.storage.checkpoints import list_checkpoints
from search.storage.filesystem import Storage, StorageError
from search.study.retries import TrainingFailure
from search.study.trial_record import EpochRecord, TrialAssignment

pytestmark = pytest.mark.costly

Start = Callable[[dict[str, Any]], TrainingTrial]

RESOURCES = TrialResources("cpu", 1, 0.0, 1)
HYPERPARAMETERS = {
    "learning_rate": 1e-3,
    "batch_size": 128,
    "weight_decay": 0.05,
    "dropout": 0.25,
    "focal_gamma": 1.5,
    "mixup_alpha": 0.0,
}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset(DataConfig(synthetic=SyntheticConfig(bars=4500)))


BASE = presets.load_preset("production_small").training_config(size="quick", metric="macro_f1", seed=0)


@pytest.fixture
def job(tmp_path: Path) -> TrialJob:
    return TrialJob(
        BASE.with_trainer(epochs=3, patience=None), RESOURCES, Storage(str(tmp_path / "checkpoints")), rungs=(1, 2)
    )


def _config(attempt: int = 1, last_epoch: int = 0, number: int = 7, **changes: Any) -> dict[str, Any]:
    return {"assignment": TrialAssignment(number, attempt, last_epoch, {**HYPERPARAMETERS, **changes})}


@pytest.fixture
def start(job: TrialJob, dataset: Dataset) -> Start:
    class BoundTrial(TrainingTrial):
        """What `tune.with_parameters` makes, without Ray."""

        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config, job=job, load=lambda: dataset)

    return BoundTrial


def _row(result: dict[str, Any]) -> dict[str, Any]:
    report = result["report"]
    assert isinstance(report, EpochRecord), report
    return report.as_row() | {"seconds": None}


def _failure(result: dict[str, Any]) -> TrainingFailure:
    report = result["report"]
    assert isinstance(report, TrainingFailure), report
    return report


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


def test_each_step_is_an_epoch_and_its_value_the_best_score_so_far(start: Start) -> None:
    trial = start(_config())
    rows = [_row(trial.step()) for _ in range(3)]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["value"] for row in rows] == [max(r["score"] for r in rows[: k + 1]) for k in range(3)]


def test_a_reused_process_gives_what_a_fresh_one_gives(start: Start) -> None:
    other = _config(learning_rate=1e-4, batch_size=64, number=8)
    fresh = _row(start(other).step())
    reused = start(_config())
    reused.step()
    assert reused.reset_config(other)
    assert _row(reused.step()) == fresh


def test_a_training_that_diverges_reports_a_failure_with_its_reason(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A learning rate beyond all reason makes the weights, then the loss, overflow.
    monkeypatch.setattr(Hyperparameters, "apply", lambda _, recipe: recipe.with_trainer(learning_rate=1e30))
    result = start(_config()).step()
    assert _failure(result).cause == "failure"
    assert _failure(result).reason.startswith("NonFiniteLossError: The training loss is not finite at step")
    assert "done" not in result


def test_a_trainer_that_cannot_be_built_reports_a_failure(start: Start) -> None:
    assert _failure(start(_config(batch_size=10**6)).step()).reason.startswith("ConfigError: A batch of 1000000")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"), "out of memory"),
        (RuntimeError("shapes cannot be\nmultiplied"), "failure"),
    ],
)
def test_running_out_of_memory_is_told_from_other_failures(error: Exception, cause: str) -> None:
    failure = classify_error(error)
    assert failure.cause == cause
    assert "\n" not in failure.reason


@pytest.mark.parametrize("stop", [1, 2])
def test_a_trial_continues_from_its_checkpoint_bit_for_bit(start: Start, stop: int) -> None:
    uninterrupted = start(_config(number=1))
    expected = [_row(uninterrupted.step()) for _ in range(3)]
    first = start(_config())
    for _ in range(stop):
        first.step()
    second = start(_config(attempt=2, last_epoch=stop))
    assert [_row(second.step()) for _ in range(3 - stop)] == expected[stop:]


def test_a_checkpoint_ahead_of_the_journal_is_not_used(start: Start) -> None:
    first = start(_config())
    rows = [_row(first.step()) for _ in range(2)]
    second = start(_config(attempt=2, last_epoch=1))
    assert _row(second.step()) == rows[1]


def test_an_abandoned_attempt_writes_no_file_that_a_later_attempt_reads(start: Start, job: TrialJob) -> None:
    cut_off = start(_config())
    cut_off.step()
    second = start(_config(attempt=2, last_epoch=1))
    second.step()
    # The first attempt continues unheard, and its weights differ: as on a GPU, or with other software.
    with torch.no_grad():
        assert cut_off._training._trainer is not None
        for parameter in cut_off._training._trainer.model.parameters():
            parameter.mul_(0.5)
    for _ in range(2):
        cut_off.step()
    assert job.storage.list_files("7/1"), "it wrote nothing: the test shows nothing"
    third = start(_config(attempt=3, last_epoch=2))
    assert _row(third.step()) == _row(second.step())


def test_an_attempt_that_left_no_checkpoint_is_not_continued_from_an_earlier_one(start: Start, job: TrialJob) -> None:
    late = start(_config())
    second = start(_config(attempt=2))
    first_row = _row(second.step())
    late.step()
    with torch.no_grad():
        assert late._training._trainer is not None
        for parameter in late._training._trainer.model.parameters():
            parameter.mul_(0.5)
    late.step()
    Path(job.storage.location, "7", "2", "1.pt").unlink()
    assert _row(start(_config(attempt=3, last_epoch=1)).step()) == first_row


def test_an_unavailable_storage_does_not_restart_a_trial_from_zero(
    start: Start, job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(_config()).step()

    def down(*_: Any) -> Any:
        raise StorageError("s3://bucket cannot be read", "Wait")

    monkeypatch.setattr(Storage, "read", down)
    assert _failure(start(_config(attempt=2, last_epoch=1)).step()).cause == "storage"


def test_a_machine_with_other_software_does_not_train(start: Start, job: TrialJob, dataset: Dataset) -> None:
    software = installed_software()
    other = replace(software, versions={**software.versions, "torch": "1.0"})

    class BoundTrial(TrainingTrial):
        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config, job=replace(job, software=other), load=lambda: dataset)

    result = BoundTrial(_config()).step()
    assert _failure(result).cause == "unfit node"
    assert "torch" in _failure(result).reason


def test_a_machine_that_sees_another_storage_does_not_train(job: TrialJob, dataset: Dataset) -> None:
    owner_token = job.storage.claim()
    assert replace(job, owner_token=owner_token).prepare().type == "cpu"
    with pytest.raises(UnfitNodeError, match="does not see what the driver wrote to"):
        replace(job, owner_token=owner_token, storage=Storage(job.storage.location + "-of-another-machine")).prepare()
    job.storage.claim()  # of a driver that came later
    with pytest.raises(UnfitNodeError, match="was taken over by another driver"):
        replace(job, owner_token=owner_token).prepare()


def test_a_damaged_checkpoint_is_skipped(start: Start, job: TrialJob) -> None:
    first = start(_config())
    rows = [_row(first.step()) for _ in range(2)]
    folder = Path(job.storage.location, "7")
    (folder / "1" / "2.pt").write_bytes(b"torn")
    second = start(_config(attempt=2, last_epoch=2))
    assert _row(second.step()) == rows[1]
    for path in folder.glob("*/*.pt"):
        path.write_bytes(b"torn")
    assert _row(start(_config(attempt=3, last_epoch=2)).step()) == rows[0]


def test_checkpoints_are_written_at_rungs_and_by_time_and_the_last_two_are_kept(
    start: Start, job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = start(_config())
    for _ in range(3):
        trial.step()
    assert list_checkpoints(job.storage.subfolder("7"), 1, 99) == ["1/2.pt", "1/1.pt"]
    monkeypatch.setattr("search.storage.checkpoints.SAVE_INTERVAL_SECONDS", 0.0)
    again = start(_config(attempt=2, last_epoch=2))
    again.step()
    assert list_checkpoints(job.storage.subfolder("7"), 2, 99) == ["2/3.pt", "2/2.pt"]


def test_a_full_fidelity_trial_writes_its_predictions_and_their_returns(
    start: Start, job: TrialJob, dataset: Dataset
) -> None:
    trial = start(_config())
    rows = [_row(trial.step()) for _ in range(3)]
    table = pd.read_parquet(Path(job.storage.location, "7", "1", PREDICTIONS_FILE))
    assert len(table) == len(dataset.val)
    assert set(table["number"]) == {7}
    assert table["label"].tolist() == dataset.labels[dataset.val].tolist()
    macro_f1 = metrics.macro_f1(dataset.labels[dataset.val], table[["sell", "hold", "buy"]].to_numpy())
    assert macro_f1 == pytest.approx(rows[-1]["value"], abs=1e-6)  # of the best weights, not the last
    returns = pd.read_parquet(Path(job.storage.location, "7", "1", RETURNS_FILE))
    calls = table[["sell", "hold", "buy"]].to_numpy().argmax(axis=1)
    _, net = backtest.compute_trade_returns(dataset, dataset.val, calls)
    assert returns["net_return"].sum() == pytest.approx(net.sum())


def test_a_storage_that_cannot_be_written_is_reported_as_such(start: Start, job: TrialJob) -> None:
    Path(job.storage.location).write_text("in the way")
    result = start(_config()).step()
    assert _failure(result).cause == "storage"
    assert "cannot be written" in _failure(result).reason
