"""The examples run as they are, and print what their docstrings promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from core.files import read_yaml
from core.inference import TrainedModel
from core.presets import load_preset

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MAX_LINES = 60
pytestmark = pytest.mark.costly


def _run(name: str, *arguments: str, folder: Path) -> str:
    """Run an example in a folder of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_tested_and_says_how_to_run_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < MAX_LINES
    assert f"python examples/{path.name}" in text.partition('"""\n#')[0]
    assert f'_run("{path.name}"' in Path(__file__).read_text(encoding="utf-8")


def test_a_preset_is_trained_and_predicts(tmp_path: Path) -> None:
    printed = _run("train_a_preset.py", "--epochs", "1", "--output", "model", folder=tmp_path)
    trained = TrainedModel.load(tmp_path / "model" / "checkpoint.pt")
    best = trained.findings["val"]
    assert f"epoch 1: macro-F1 {best['macro_f1']:.4f} on val" in printed
    assert re.search(rf"^  direction_auc +{best['direction_auc']:.4f}$", printed, flags=re.M)
    assert len(re.findall(r"SYNTHETIC( +0\.\d+){3} (SELL|HOLD| BUY)$", printed, flags=re.M)) == 3


def test_a_campaign_is_run_and_gives_a_preset(tmp_path: Path) -> None:
    printed = _run("campaign_in_python.py", "results", folder=tmp_path)
    assert "ended by: trials" in printed
    trials = pd.read_parquet(tmp_path / "results" / "example" / "trials.parquet")
    best = trials.loc[trials["value"].where(trials["status"] == "complete").idxmax()]
    assert f"winner: trial {best['number']}, auc {best['value']:.4f}, not confirmed" in printed
    preset = tmp_path / "example.yaml"
    preset.write_text(printed[printed.index("schema_version:") :])
    assert load_preset(str(preset)).hyperparameters.learning_rate == best["learning_rate"]


def test_results_are_read(tmp_path: Path) -> None:
    printed = _run("read_results.py", folder=tmp_path)
    verdict = read_yaml(ROOT / "results" / "btc-eth-15m-8m" / "verdict.json")  # JSON is YAML
    assert f"{verdict['status']}; winner: trial {verdict['winner']['trial']}; " in printed
    assert re.findall(r"^  (pass|fail): (.+?) = ", printed, flags=re.M) == [
        (gate["verdict"], gate["name"]) for gate in verdict["gates"]
    ]
    curves = pd.read_parquet(ROOT / "results" / "btc-eth-15m-8m" / "curves.parquet")
    assert f"{len(curves)} epochs; stopped at rung: {{2: 19, 6: 8}}" in printed


def test_a_feature_table_is_written_and_trained_from(tmp_path: Path) -> None:
    printed = _run("own_feature_table.py", str(tmp_path), folder=tmp_path)
    assert "features: f_flow, f_noise; " in printed
    auc = TrainedModel.load(tmp_path / "model" / "checkpoint.pt").findings["val"]["direction_auc"]
    assert f"direction AUC on val: {auc:.4f}" in printed
    assert auc > 0.5  # the planted signal


def test_an_own_metric_is_computed_for_winner_and_incumbent(tmp_path: Path) -> None:
    printed = _run("own_metric.py", folder=tmp_path)
    table = pd.read_parquet(ROOT / "results" / "btc-eth-15m-8m" / "predictions.parquet")
    winner = table[(table["number"] == 1) & (table["seed"] == 1) & table["split"].str.startswith("fold")]
    calls = winner[["sell", "hold", "buy"]].to_numpy().argmax(axis=1)
    expected = (calls == winner["label"])[calls != 1].mean()
    lines = re.findall(r"^(winner|incumbent), seed (\d): (0\.\d+) \[(0\.\d+), (0\.\d+)\]$", printed, flags=re.M)
    assert [(title, seed) for title, seed, *_ in lines] == [(who, n) for who in ("winner", "incumbent") for n in "123"]
    assert lines[0][2] == f"{expected:.4f}"
    assert all(low < value < high for *_, value, low, high in lines)
