from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from core.config import Hyperparameters
from search.results.records import CellRecord, ConfirmationRecord, DataRecord, IncumbentRecord, RankedTrial
from tests.helpers.trial_records import epoch_record

DATA = {
    "synthetic": False,
    "symbols": ["BTCUSDT"],
    "span": ["2024-07-01T00:00:00+00:00", "2024-07-30T23:55:00+00:00"],
    "fingerprint": "85ec",
    "window": 60,
    "horizon": 3,
}
CELL = {"number": 1, "seed": 2, "split": "fold 1", "status": "complete", "reason": ""}


def test_a_record_is_written_with_the_keys_that_were_set_and_in_their_order() -> None:
    record = DataRecord.model_validate({**DATA, "of_tomorrow": 1})
    assert json.loads(json.dumps(record.as_row())) == DATA
    assert list(record.as_row()) == list(DATA)
    assert (record.bar, record.features, record.settings) == (None, (), {})


@pytest.mark.parametrize("key", DATA)
def test_a_record_without_a_key_is_refused_by_its_name(key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        DataRecord.model_validate({name: value for name, value in DATA.items() if name != key})


def test_a_figure_that_is_not_defined_is_none() -> None:
    record = CellRecord.model_validate({**CELL, "held_out": {"auc": float("nan"), "accuracy": 0.5}})
    assert record.held_out == {"auc": None, "accuracy": 0.5}
    assert record.is_complete
    assert not CellRecord.model_validate({**CELL, "status": "failed"}).is_complete


def test_the_epochs_of_the_incumbent_are_rows_in_its_file() -> None:
    epochs = (epoch_record(1, 0.4), epoch_record(2, 0.5))
    record = IncumbentRecord.model_construct(complete=True, attempts=1, epochs=epochs)
    row = json.loads(json.dumps(record.as_row()))
    assert row == {"complete": True, "attempts": 1, "rows": [epoch.as_row() for epoch in epochs]}
    assert IncumbentRecord.model_validate(row).epochs == epochs


def test_the_settings_of_a_confirmation_are_checked() -> None:
    settings = {"top": 2, "seeds": 1, "folds": 3, "trainings": 40, "neighbours": False}
    content: dict[str, Any] = {"settings": settings, "incumbent": None}
    record = ConfirmationRecord.model_validate(content)
    assert record.model_dump(mode="json") == content
    with pytest.raises(ValidationError, match="folds"):
        ConfirmationRecord.model_validate({**content, "settings": {"folds": 0}})


def test_the_metrics_of_a_ranked_trial_are_the_columns_of_val() -> None:
    hyperparameters = Hyperparameters(
        learning_rate=1e-4, batch_size=64, weight_decay=0.1, dropout=0.2, focal_gamma=1.5, mixup_alpha=0.0
    )
    row = {"number": 3, "value": 0.5, "val_auc": 0.6, "val_nll": 1.0}
    trial = RankedTrial(number=3, hyperparameters=hyperparameters, value=0.5, best_epoch=2, epochs=4, row=row)
    assert trial.metrics == {"auc": 0.6, "nll": 1.0}
