from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.files import write_table
from search.confirmation.cells import CellResult
from search.confirmation.table import make_confirmation_table, read_confirmation_row
from search.results.predictions import TEST
from search.results.records import CellRecord

pytestmark = pytest.mark.costly


def test_the_table_has_a_row_for_each_cell(trained: list[CellResult], final: CellResult) -> None:
    table = make_confirmation_table([result.record for result in [*trained, final]])
    assert len(table) == 13
    assert set(table["split"]) == {"fold 1", "fold 2", TEST}
    assert table.groupby(["number", "seed", "split"]).size().max() == 1
    figures = ["val_macro_f1", "held_out_macro_f1", "temperature", "bias_sell", "seconds"]
    assert np.isfinite(table[figures]).all(axis=None)
    assert table[["decision_mean_buy", "decision_tilt"]].notna().all(axis=None)


def test_a_record_is_read_back_from_its_row(trained: list[CellResult], final: CellResult, tmp_path: Path) -> None:
    failed = CellRecord(number=1, seed=2, split="fold 1", status="failed", reason="diverged")
    records = [*(result.record for result in [*trained, final]), failed]
    write_table(tmp_path / "table.parquet", make_confirmation_table(records))
    rows = [row for _, row in pd.read_parquet(tmp_path / "table.parquet").iterrows()]
    for row, record in zip(rows, records, strict=True):
        assert read_confirmation_row(row) == record.model_copy(update={"checklist": ()})


def test_a_metric_that_is_not_defined_stays_so(final: CellResult) -> None:
    held_out = {**final.record.held_out, "direction_auc": None}
    table = make_confirmation_table([final.record.model_copy(update={"held_out": held_out})])
    assert read_confirmation_row(table.iloc[0]).held_out["direction_auc"] is None
