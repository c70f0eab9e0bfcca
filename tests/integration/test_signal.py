"""On the synthetic market the truth is known: a campaign must find some of it, and nothing where there is nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.processes import HANG_SECONDS


def _campaign(folder: Path, signal: float) -> dict[str, Any]:
    (folder / "c.yaml").write_text(
        f"name: x\ntrials: 12\nincumbent: quick_experiment\ndata: {{synthetic: {{bars: 8000, signal: {signal}}}}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "search", "run", "c.yaml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads((folder / "results" / "x" / "summary.json").read_text())
    return summary


@pytest.mark.slow
def test_a_planted_signal_is_found_and_the_best_possible_not_beaten(tmp_path: Path) -> None:
    summary = _campaign(tmp_path, 0.6)
    best, possible = summary["winner"], summary["bayes"]["val"]
    assert best["val_direction_auc"] > 0.75
    assert best["value"] > summary["majority"]["val"]["auc"] + 0.1
    assert best["val_direction_auc"] < possible["direction_auc"] + 0.01


@pytest.mark.slow
def test_without_a_signal_the_winner_has_no_direction(tmp_path: Path) -> None:
    # 1,200 val rows, half of them moves that overlap: two standard errors are about 0.05, and the best of 12 is shown.
    assert abs(_campaign(tmp_path, 0.0)["winner"]["val_direction_auc"] - 0.5) < 0.1
