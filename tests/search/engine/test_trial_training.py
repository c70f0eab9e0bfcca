"""The training of one trial: from its checkpoint to its predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from core.data.dataset import Dataset
from core.evaluation import backtest, metrics
from core.training.trainer import Trainer
from search.engine.job import TrialJob
from search.engine.trial_training import TrialTraining
from search.results.folder import PREDICTIONS_FILE, RETURNS_FILE
from search.results.predictions import probabilities_of
from search.storage.checkpoints import list_checkpoints
from search.storage.filesystem import Storage, StorageError
from tests.helpers.trial_jobs import HYPERPARAMETERS, Start, report_row, reported_failure, trial_config

pytestmark = pytest.mark.costly


@pytest.mark.parametrize("stop", [1, 2])
def test_a_trial_continues_from_its_checkpoint_bit_for_bit(start: Start, stop: int) -> None:
    uninterrupted = start(trial_config(number=1))
    expected = [report_row(uninterrupted.step()) for _ in range(3)]
    first = start(trial_config())
    for _ in range(stop):
        first.step()
    second = start(trial_config(attempt=2, last_epoch=stop))
    assert [report_row(second.step()) for _ in range(3 - stop)] == expected[stop:]


def test_the_scores_by_block_are_reported_at_the_first_rung_and_at_no_other_epoch(
    start: Start, job: TrialJob, dataset: Dataset
) -> None:
    trial = start(trial_config())
    rows = [report_row(trial.step()) for _ in range(3)]
    assert ["val_blocks" in row for row in rows] == [True, False, False]  # the rungs are epochs 1 and 2
    trainer = Trainer(job.training_config(HYPERPARAMETERS), dataset, torch.device("cpu"))
    trainer.run_epoch()
    assert rows[0]["val_blocks"] == pytest.approx(trainer.val_block_scores(), rel=1e-5)
    assert [float(f"{score:.6g}") for score in rows[0]["val_blocks"]] == list(rows[0]["val_blocks"])


def test_where_no_trial_is_stopped_they_are_reported_at_the_last_epoch(job: TrialJob, dataset: Dataset) -> None:
    training = TrialTraining(replace(job, rungs=()), dataset, trial_config()["assignment"])
    reports = [training.step() for _ in range(3)]
    assert ["val_blocks" in report_row({"report": report}) for report in reports] == [False, False, True]


def test_a_checkpoint_ahead_of_the_journal_is_not_used(start: Start) -> None:
    first = start(trial_config())
    rows = [report_row(first.step()) for _ in range(2)]
    second = start(trial_config(attempt=2, last_epoch=1))
    assert report_row(second.step()) == rows[1]


def test_an_abandoned_attempt_writes_no_file_that_a_later_attempt_reads(start: Start, job: TrialJob) -> None:
    cut_off = start(trial_config())
    cut_off.step()
    second = start(trial_config(attempt=2, last_epoch=1))
    second.step()
    # The first attempt continues unheard, and its weights differ: as on a GPU, or with other software.
    with torch.no_grad():
        assert cut_off._training._trainer is not None
        for parameter in cut_off._training._trainer.model.parameters():
            parameter.mul_(0.5)
    for _ in range(2):
        cut_off.step()
    assert job.storage.list_files("7/1"), "it wrote nothing: the test shows nothing"
    third = start(trial_config(attempt=3, last_epoch=2))
    assert report_row(third.step()) == report_row(second.step())


def test_an_attempt_that_left_no_checkpoint_is_not_continued_from_an_earlier_one(start: Start, job: TrialJob) -> None:
    late = start(trial_config())
    second = start(trial_config(attempt=2))
    first_row = report_row(second.step())
    late.step()
    with torch.no_grad():
        assert late._training._trainer is not None
        for parameter in late._training._trainer.model.parameters():
            parameter.mul_(0.5)
    late.step()
    Path(job.storage.location, "7", "2", "1.pt").unlink()
    assert report_row(start(trial_config(attempt=3, last_epoch=1)).step()) == first_row


def test_an_unavailable_storage_does_not_restart_a_trial_from_zero(
    start: Start, job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(trial_config()).step()

    def down(*_: Any) -> Any:
        raise StorageError("s3://bucket cannot be read", "Wait")

    monkeypatch.setattr(Storage, "read", down)
    assert reported_failure(start(trial_config(attempt=2, last_epoch=1)).step()).cause == "storage"


def test_a_full_fidelity_trial_writes_its_predictions_and_their_returns(
    start: Start, job: TrialJob, dataset: Dataset
) -> None:
    trial = start(trial_config())
    rows = [report_row(trial.step()) for _ in range(3)]
    table = pd.read_parquet(Path(job.storage.location, "7", "1", PREDICTIONS_FILE))
    assert len(table) == len(dataset.val)
    assert set(table["number"]) == {7}
    assert table["label"].tolist() == dataset.labels[dataset.val].tolist()
    assert trial._training._trainer is not None
    best = trial._training._trainer.best_val_predictions()
    np.testing.assert_allclose(probabilities_of(table), best.probabilities, atol=1e-6)
    calls = best.decisions.calls
    macro_f1 = metrics.macro_f1(dataset.labels[dataset.val], calls)
    assert macro_f1 == pytest.approx(rows[-1]["value"], abs=1e-6)  # of the best weights, not the last
    returns = pd.read_parquet(Path(job.storage.location, "7", "1", RETURNS_FILE))
    _, net = backtest.compute_trade_returns(dataset, dataset.val, calls)
    assert returns["net_return"].sum() == pytest.approx(net.sum())


def test_a_storage_that_cannot_be_written_is_reported_as_such(start: Start, job: TrialJob) -> None:
    Path(job.storage.location).write_text("in the way")
    result = start(trial_config()).step()
    assert reported_failure(result).cause == "storage"
    assert "cannot be written" in reported_failure(result).reason


def test_a_damaged_checkpoint_is_skipped(start: Start, job: TrialJob) -> None:
    first = start(trial_config())
    rows = [report_row(first.step()) for _ in range(2)]
    folder = Path(job.storage.location, "7")
    (folder / "1" / "2.pt").write_bytes(b"torn")
    second = start(trial_config(attempt=2, last_epoch=2))
    assert report_row(second.step()) == rows[1]
    for path in folder.glob("*/*.pt"):
        path.write_bytes(b"torn")
    assert report_row(start(trial_config(attempt=3, last_epoch=2)).step()) == rows[0]


def test_checkpoints_are_written_at_rungs_and_by_time_and_the_last_two_are_kept(
    start: Start, job: TrialJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = start(trial_config())
    for _ in range(3):
        trial.step()
    assert list_checkpoints(job.storage.subfolder("7"), 1, 99) == ["1/2.pt", "1/1.pt"]
    monkeypatch.setattr("search.storage.checkpoints.SAVE_INTERVAL_SECONDS", 0.0)
    again = start(trial_config(attempt=2, last_epoch=2))
    again.step()
    assert list_checkpoints(job.storage.subfolder("7"), 2, 99) == ["2/3.pt", "2/2.pt"]
