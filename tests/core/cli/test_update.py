"""A checkpoint is updated with newer bars, and the report says what that was worth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.cli import update as command
from core.config import DataConfig, SyntheticConfig
from core.data.file_format import iso
from core.data.sources.synthetic import make_bars
from core.inference import TrainedModel
from core.training import update
from tests.helpers.training_commands import Run

pytestmark = pytest.mark.costly


def _files() -> set[str]:
    return {path.name for path in Path("new").iterdir()} if Path("new").is_dir() else set()


def test_a_checkpoint_is_updated_and_what_that_was_worth_is_said(run: Run, trained: Path) -> None:
    assert run("update out --synthetic --output-dir new") == 0, run.err
    said = " ".join(run.out.split())
    assert "SYNTHETIC DATA" in run.err
    assert "of 3 steps of the SYNTHETIC market" in said
    for metric in ("NLL", "AUC", "direction AUC", "macro-F1", "MCC"):
        assert f"│ {metric} " in run.out
    assert "Re-fitting every 1d over these 3 steps would have been worth" in said
    assert "too short to tell: an interval takes 20 days" in said
    assert _files() == {"checkpoint.pt", "update.json"}
    static, updated = (TrainedModel.load(Path(folder) / "checkpoint.pt") for folder in ("out", "new"))
    assert "Both models have the calibration and the decision rule of the checkpoint." in said
    report = json.loads(Path("new/update.json").read_text())
    assert report["from"]["path"] == "out/checkpoint.pt"
    assert len(report["from"]["sha256"]) == 64
    assert report["until"] == iso(updated.train[1])
    assert report["report"]["nll_lead"]["low"] is None
    assert updated.train[1] == updated.val[1] == static.val[1] + 2 * 86_400_000_000
    assert report["settings"] == {"every": "1d", "learning_rate": 1e-4, "passes": 2, "seed": 0}

    assert run("predict new --synthetic") == 0
    assert "calibrated on val before the model was updated" in " ".join(run.out.split())
    table = pd.read_parquet("predictions.parquet")
    seen = table["timestamp"] < pd.Timestamp(report["until"])
    assert set(table["split"][seen]) == {"train"}
    assert set(table["split"][~seen]) == {"new"}
    assert run("check new") == 0
    assert "measured on val before the model was updated" in " ".join(run.out.split())

    # The updated model can be updated again, in place too, once there are newer bars.
    assert run("update new --synthetic --every 12h --output-dir new") == 2
    assert "already holds checkpoint.pt and update.json" in run.err
    assert run("update new --synthetic --every 12h --passes 1 --output-dir new --overwrite") == 0, run.err
    again = json.loads(Path("new/update.json").read_text())
    assert again["report"]["start"] == report["until"]
    assert again["report"]["updates"] == 1


def test_an_update_of_a_model_without_calibration_says_that_it_has_none(run: Run, trained: Path) -> None:
    replace(TrainedModel.load(trained), calibration=None, rule=None).save(trained)
    assert run("update out --synthetic --output-dir new") == 0, run.err
    assert "The checkpoint has no calibration" in " ".join(run.out.split())


def test_bars_that_are_no_use_are_refused_in_one_line(run: Run, trained: Path) -> None:
    assert run("update out --output-dir new") == 2
    assert "No bars are named" in run.err
    assert run("update out --synthetic --until 2024-01-15 --output-dir new") == 2
    assert "There is no new bar: the bars end at 2024-01-15" in run.err
    assert run("update out --synthetic --every 5d --output-dir new") == 2
    assert "are less than one step of the update" in run.err
    assert run("update out --synthetic --every sometimes --output-dir new") == 2
    assert "--every 'sometimes' is no interval" in run.err
    assert run.err.count("error:") == 1
    assert _files() == set()
    replace(TrainedModel.load(trained), labels=None).save(trained)
    assert run("update out --synthetic --output-dir new") == 2
    assert "an earlier version, which did not keep the thresholds of the labels. Train again" in run.err


def test_further_columns_of_the_bars_do_not_matter(run: Run, trained: Path) -> None:
    (bars,) = make_bars(SyntheticConfig(), DataConfig(synthetic=SyntheticConfig()).interval)
    frame = bars.frame.assign(quote_volume=bars.frame["volume"] * bars.frame["close"], trades=7.0)
    frame.to_parquet("synthetic_SYNTHETIC_5m.parquet")
    assert run("update out --data synthetic_SYNTHETIC_5m.parquet --output-dir new") == 0, run.err
    assert run("update out --synthetic --output-dir other") == 0
    files = (Path(folder) / "update.json" for folder in ("new", "other"))
    rows = [json.loads(file.read_text())["report"]["updated"] for file in files]
    assert rows[0]["auc"] == pytest.approx(rows[1]["auc"], abs=0.01)


@pytest.mark.parametrize("place", ["during the steps", "while it writes"])
def test_after_ctrl_c_nothing_is_written(run: Run, trained: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    if place == "during the steps":
        monkeypatch.setattr(update.WalkForward, "_train_on", interrupt)
    else:
        monkeypatch.setattr(command, "write_json", interrupt)
    assert run("update out --synthetic --output-dir new") == 130
    assert _files() == set()
