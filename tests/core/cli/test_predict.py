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


def test_a_newest_bar_without_a_call_is_named_with_the_reason_and_exit_code_3(run: Run) -> None:
    frame = random_bars(4100, interval="15m", symbol="AAA").frame
    frame.to_parquet("binance_AAA_15m.parquet")
    line = "--preset quick_experiment --data binance_AAA_15m.parquet --window 8 --horizon 2 --epochs 1 --output-dir out"
    assert run(line) == 0
    assert run("predict out --data binance_AAA_15m.parquet") == 0
    assert "No call" not in run.out
    newest_call = pd.read_parquet("predictions.parquet")["timestamp"].iloc[-1]

    frame.drop(index=frame.index[-106:-99]).to_parquet("binance_AAA_15m.parquet")
    assert run("predict out --data binance_AAA_15m.parquet --overwrite") == 3
    calls = pd.read_parquet("predictions.parquet")["timestamp"]
    assert calls.iloc[-1] == newest_call - 105 * pd.Timedelta("15min")  # the last bar before the missing ones
    (row,) = (line.split("│") for line in run.out.splitlines() if line.startswith("│ AAA"))
    assert [cell.strip() for cell in row[2:4]] == [
        f"{time:%Y-%m-%d %H:%M:%S}" for time in (newest_call, calls.iloc[-1])
    ]
    assert "No call: The newest 98 bars of AAA cannot be predicted: a bar is missing 98 bars before the end" in run.out

    frame.drop(index=frame.index[-5]).to_parquet("binance_AAA_15m.parquet")  # within the window of the newest bar
    assert run("predict out --data binance_AAA_15m.parquet --overwrite") == 3
    assert "No call: The newest 3 bars of AAA cannot be predicted: a bar is missing 3 bars before the end" in run.out
    frame.drop(index=frame.index[-100]).to_parquet("binance_AAA_15m.parquet")  # a short gap before it
    assert run("predict out --data binance_AAA_15m.parquet --overwrite") == 0


def test_a_symbol_with_too_few_bars_for_a_call_is_named(run: Run) -> None:
    for symbol, rows in (("AAA", 4100), ("BBB", 4100)):
        random_bars(rows, interval="15m", symbol=symbol).frame.to_parquet(f"binance_{symbol}_15m.parquet")
    files = "binance_AAA_15m.parquet binance_BBB_15m.parquet"
    assert run(f"--preset quick_experiment --data {files} --window 8 --horizon 2 --epochs 1 --output-dir out") == 0
    frame = pd.read_parquet("binance_BBB_15m.parquet")
    frame.drop(index=frame.index[np.flatnonzero(np.arange(4090) % 100 > 92)]).to_parquet("binance_BBB_15m.parquet")
    assert run(f"predict out --data {files}") == 3
    assert "none" in next(line for line in run.out.splitlines() if line.startswith("│ BBB"))
    assert "bars of BBB cannot be predicted" in run.out
