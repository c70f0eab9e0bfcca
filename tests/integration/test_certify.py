"""From bars to verdict: markets without a signal are not certified, planted ones are. Twenty whole campaigns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.config import DataConfig, SyntheticConfig
from core.data.dataset import load_dataset
from core.data.sources import synthetic
from core.evaluation import metrics
from tests.helpers.processes import HANG_SECONDS, environment, owned

CAMPAIGN = {
    "trials": 4,
    "max_epochs": 6,
    "incumbent": "quick_experiment",
    "incumbent_epochs": 4,
    "ask": [],
    "model": "quick",
    "space": {"learning_rate": {"low": 5e-4, "high": 2e-3, "log": True}},
    "confirm": {"top": 1, "seeds": 1, "folds": 2},
}


def _verdict(folder: Path, market: dict[str, Any], interval: str, seed: int) -> str:
    name = f"c{seed}-{market.get('variance', 'planted')}"
    content = {
        "name": name,
        "seed": seed,
        "data": {"synthetic": {**market, "seed": seed}, "interval": interval},
        **CAMPAIGN,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    command = [sys.executable, "-m", "search", "run", f"{name}.yaml"]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    status: str = json.loads((folder / "results" / name / "verdict.json").read_text())["status"]
    return status


def _possible_mcc(market: dict[str, Any], interval: str, seed: int) -> float:
    """MCC on the test rows of one who knows pressure and side: what is possible is no less."""
    config = SyntheticConfig(**market, seed=seed)
    dataset = load_dataset(DataConfig(synthetic=config, interval=interval))
    bar = (dataset.timestamps[dataset.test] - synthetic.START) // dataset.bar
    mean, deviation = synthetic.forward_moments(config, 0, dataset.horizon)
    known = (synthetic.side(config, 0) * mean)[bar]
    probabilities = synthetic.bayes_probabilities(known, deviation, *dataset.thresholds[0])
    return metrics.matthews_correlation(dataset.labels[dataset.test], probabilities.argmax(axis=1))


@pytest.mark.slow
def test_of_ten_markets_without_a_signal_at_most_one_is_certified(tmp_path: Path) -> None:
    with owned(tmp_path) as folder:
        found = [
            _verdict(folder, {"bars": 8000, "signal": 0.0, "variance": variance}, "1h", seed)
            for variance in ("constant", "garch")
            for seed in range(5)
        ]
    assert found.count("certified") <= 1, found
    assert found.count("not certified") >= 8, found  # 50 days of test are long enough to tell


@pytest.mark.slow
def test_of_ten_planted_markets_nine_are_certified(tmp_path: Path) -> None:
    market = {"bars": 20_000, "signal": 0.8, "shape": "switching"}
    assert min(_possible_mcc(market, "30m", seed) for seed in range(10)) >= 0.25
    with owned(tmp_path) as folder:
        found = [_verdict(folder, market, "30m", seed) for seed in range(10)]
    assert found.count("certified") >= 9, found
