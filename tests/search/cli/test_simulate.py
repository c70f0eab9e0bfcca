from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from search.simulation.lcbench import LcbenchSurrogate
from tests.helpers.commands import invoke, run_command
from tests.search.simulation.test_lcbench import FOLDER
from tests.search.simulation.test_lcbench import surrogate as surrogate
from tests.search.simulation.test_recorded import table as table

FEW = ("--trials", "6", "--seeds", "2")


def test_strategies_are_compared_on_a_recorded_table(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table.to_parquet(path)
    options = "--workers", "2", "--workers", "8", "--price", "1.5", "--lost-every-hours", "10"
    out = invoke("simulate", "--table", str(path), "--metric", "auc", *FEW, *options)
    assert "6 trials, 2 simulated campaigns each" in out
    for word in ("epochs", "cells", "stopping", "promotion", "random", "tpe", "cost", "regret"):
        assert word in out
    assert out.count("│ cells") == 4


def test_strategies_are_compared_on_lcbench(surrogate: LcbenchSurrogate) -> None:
    out = invoke("simulate", "--lcbench", str(FOLDER), "--task", surrogate.tasks[0], *FEW)
    assert out.count("│ epochs") == 5
    assert "cells" not in out
    assert "cost" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name what to simulate on. Add either --table FILE or --lcbench FOLDER"),
        (("--table", "t.parquet", "--lcbench", "here"), "Name what to simulate on"),
        (("--table", "missing.parquet"), "missing.parquet"),
        (("--table", "t.parquet", "--lost-every-hours", "0"), "--lost-every-hours must be above 0"),
        (("--lcbench", "nowhere", "--task", "1"), "nowhere"),
    ],
)
def test_what_cannot_be_simulated_is_refused_in_one_line(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "--lcbench" in arguments:
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    assert run_command(monkeypatch, tmp_path, "simulate", *arguments) == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert error.count("error:") == 1


def test_an_unknown_metric_is_refused_with_those_that_the_table_has(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table.to_parquet(tmp_path / "table.parquet")
    assert run_command(monkeypatch, tmp_path, "simulate", "--table", "table.parquet", "--metric", "accuracy") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "The table has no metric 'accuracy'. Choose one of auc, nll." in error
