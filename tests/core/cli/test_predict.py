"""Bars become the predictions of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.helpers.market import random_bars
from tests.helpers.training_commands import Run

pytestmark = pytest.mark.costly


def test_bars_become_calibrated_probabilities(run: Run, trained: Path) -> None:
    assert run("predict out --synthetic --output calls.csv") == 0
    assert "SYNTHETIC DATA" in run.err
    assert "calibrated on val" in run.out
    assert "lie in the span of the training" in run.out
    table = pd.read_csv("calls.csv")
    assert list(table.columns) == [
        "timestamp", "symbol", "sell", "hold", "buy", "call", "confidence", "forecast_return", "split"
    ]  # fmt: skip
    assert run("predict out/checkpoint.pt --synthetic") == 0
    assert len(pd.read_parquet("predictions.parquet")) == len(table)


def test_new_rows_of_a_feature_table_need_no_labels(run: Run) -> None:
    rng = np.random.default_rng(0)
    rows = 4000
    returns = 0.01 * rng.standard_normal(rows)
    frame = pd.DataFrame(
        {
            "timestamp": pd.date_range("2024-01-01", periods=rows, freq="1h", tz="UTC"),
            "symbol": "[/X]",
            "f_1": rng.standard_normal(rows),
            "f_2": rng.standard_normal(rows),
            "y": np.digitize(returns, [-0.005, 0.005]),
            "r": returns,
        }
    )
    frame.to_parquet("old.parquet")
    frame.drop(columns=["y", "r"]).tail(200).to_parquet("new.parquet")
    table = "{{files: [{}.parquet], features: ['f_*'], label: y, returns: r}}"
    text = "data:\n  {{interval: 1h, horizon: 3, window: 8, table: " + table + "}}\n"
    for name in ("old", "new"):
        Path(f"{name}.yaml").write_text(text.format(name))
    assert run("--preset quick_experiment --config old.yaml --epochs 1 --output-dir out") == 0
    assert run("predict out --config new.yaml") == 0
    assert len(pd.read_parquet("predictions.parquet")) == 200 - 7
    assert run("--preset quick_experiment --config new.yaml --epochs 1 --output-dir more") == 2
    assert "has no column 'y'" in run.err


def test_predictions_are_read_as_the_training_read_its_bars(run: Run) -> None:
    random_bars(4100, interval="15m", symbol="AAA").frame.to_parquet("binance_AAA_15m.parquet")
    line = "--preset quick_experiment --data binance_AAA_15m.parquet --window 8 --horizon 2 --epochs 1 --output-dir out"
    assert run(line) == 0
    # Neither interval nor window nor horizon are said again.
    assert run("predict out --symbols AAA --store . --offline") == 0
    assert len(pd.read_parquet("predictions.parquet")) > 3000
