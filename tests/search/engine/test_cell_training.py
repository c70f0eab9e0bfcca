from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from core.config import DataConfig, SyntheticConfig
from core.data.dataset import Dataset
from core.evaluation.decision import decide
from core.evaluation.metrics import macro_f1
from core.presets import load_preset
from core.training.trainer import Trainer
from search.campaign.folds import load_folds
from search.cluster.resources import TrialResources
from search.engine.cell_training import CellTraining
from search.engine.job import TrialJob
from search.storage.filesystem import Storage
from search.study.retries import TrainingFailure
from search.study.trial_record import EpochRecord, TrialAssignment

CELLS = ((1, 5), (0, 5), (1, 6))
PARAMS = load_preset("quick_experiment").hyperparameters.model_dump() | {"batch_size": 256}


@pytest.fixture(scope="module")
def folds() -> tuple[Dataset, ...]:
    return load_folds(DataConfig(synthetic=SyntheticConfig(bars=4000), window=8), 2)


@pytest.fixture
def job(tmp_path: Path) -> TrialJob:
    recipe = load_preset("quick_experiment").training_config(size="quick").with_trainer(epochs=2, patience=None)
    return TrialJob(recipe, TrialResources("cpu", 1, 0.0, 1), Storage(str(tmp_path)), (1,), cells=CELLS)


def _steps(job: TrialJob, folds: Any, done: int = 0) -> list[EpochRecord]:
    training = CellTraining(job, folds, TrialAssignment(7, 2, done, PARAMS))
    records = [training.step() for _ in range(len(CELLS) - done)]
    assert all(isinstance(record, EpochRecord) for record in records), records
    return records  # type: ignore[return-value]


def test_a_cell_is_a_whole_training_judged_on_the_block_after_its_val(
    job: TrialJob, folds: tuple[Dataset, ...], tmp_path: Path
) -> None:
    records = _steps(job, folds)
    assert [record.epoch for record in records] == [1, 2, 3]
    for record, (fold, seed) in zip(records, CELLS, strict=True):
        dataset = folds[fold]
        trainer = Trainer(job.training_config(PARAMS).with_trainer(seed=seed), dataset, torch.device("cpu"))
        assert len(list(trainer)) == 2
        fitted = trainer.evaluate()  # the weights of the last epoch, not of the best
        logits = trainer.logits(torch.from_numpy(dataset.test))
        decisions = decide(logits, dataset.timestamps[dataset.test], fitted.calibration, fitted.rule)
        assert record.score == macro_f1(dataset.labels[dataset.test], decisions.calls)
        assert record.metrics["macro_f1"] == record.score
        assert record.seconds > 0
    assert len({record.score for record in records}) == 3
    assert records[0].val_blocks is not None
    assert [record.val_blocks for record in records[1:]] == [None, None]
    written = pd.read_parquet(tmp_path / "7" / "2" / "predictions.parquet")
    assert len(written) == len(folds[1].test)
    assert set(written["seed"]) == {6}


def test_a_cell_is_the_same_whichever_cells_this_process_has_trained_before(
    job: TrialJob, folds: tuple[Dataset, ...]
) -> None:
    whole, rest = _steps(job, folds), _steps(job, folds, done=2)
    assert replace(rest[0], seconds=0.0) == replace(whole[2], seconds=0.0)


def test_an_error_in_a_cell_is_a_failure_and_the_next_step_trains_the_same_cell(
    job: TrialJob, folds: tuple[Dataset, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    training = CellTraining(job, folds, TrialAssignment(0, 1, 0, PARAMS))
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "evaluate", lambda _: 1 / 0)
        failure = training.step()
    assert isinstance(failure, TrainingFailure)
    assert "ZeroDivisionError" in failure.reason
    record = training.step()
    assert isinstance(record, EpochRecord)
    assert record.epoch == 1
