from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from core.evaluation.block_bootstrap import Interval
from core.evaluation.calibration import Calibration
from core.evaluation.decision import DecisionRule
from core.evaluation.metric_names import PREDICTION_METRICS
from core.inference import TrainedModel
from core.training.update_report import Comparison, UpdateReport, compare_models

HOUR = 3600 * 1_000_000
ROWS = 24 * 30


def _trained(calibration: Calibration | None = None, rule: DecisionRule | None = None) -> TrainedModel:
    parts: dict[str, Any] = {"calibration": calibration, "rule": rule, "bar": HOUR}
    return cast(TrainedModel, SimpleNamespace(**parts, data=SimpleNamespace(horizon=1)))


def _predictions(rows: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, timestamps, logits without skill, and logits with it."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, rows)
    logits = rng.standard_normal((rows, 3))
    return labels, np.arange(rows) * HOUR, logits, logits + 0.8 * np.eye(3)[labels]


def test_both_models_are_judged_by_the_calibration_and_the_rule_of_the_checkpoint() -> None:
    labels, timestamps, poor, good = _predictions()
    trained = _trained(Calibration(temperature=2.0), DecisionRule((0.2, 0.3, 0.5)))
    compared = compare_models(trained, labels, timestamps, poor, good, seed=0)
    swapped = compare_models(trained, labels, timestamps, good, poor, seed=0)
    assert compared.static == swapped.updated
    assert tuple(compared.static) == PREDICTION_METRICS
    assert compared.updated["macro_f1"] > compared.static["macro_f1"]
    assert compared.nll_lead.value == pytest.approx(compared.static["nll"] - compared.updated["nll"])
    assert compared.macro_f1_lead.value == pytest.approx(compared.updated["macro_f1"] - compared.static["macro_f1"])
    assert compared.nll_lead.low > 0
    assert swapped.nll_lead.high < 0
    plain = compare_models(_trained(), labels, timestamps, poor, good, seed=0)
    assert plain.static["auc"] == compared.static["auc"]
    assert plain.static["nll"] != compared.static["nll"]
    assert plain.static["macro_f1"] != compared.static["macro_f1"]


def test_the_same_predictions_have_no_lead() -> None:
    labels, timestamps, poor, _ = _predictions()
    compared = compare_models(_trained(), labels, timestamps, poor, poor, seed=0)
    assert compared.nll_lead == compared.macro_f1_lead == Interval(0.0, 0.0, 0.0)


def test_few_days_give_no_interval() -> None:
    labels, timestamps, poor, good = _predictions(24 * 19)
    compared = compare_models(_trained(), labels, timestamps, poor, good, seed=0)
    assert math.isnan(compared.nll_lead.low)
    assert math.isnan(compared.macro_f1_lead.low)


NAN = float("nan")


def _report(macro_f1: Interval, nll: Interval) -> UpdateReport:
    return UpdateReport("1d", 0, 30 * 24 * HOUR, 30, 29, Comparison(ROWS, {}, {}, nll, macro_f1))


def test_it_says_what_updating_was_worth_and_whether_luck_explains_it() -> None:
    gain, nothing, loss = Interval(0.02, 0.01, 0.03), Interval(0.0, -0.01, 0.01), Interval(-0.02, -0.03, -0.01)
    said = _report(gain, nothing).describe_worth()
    assert said.startswith("Re-fitting every 1d over these 30 steps would have been worth +0.0200 macro-F1 [+0.0100, ")
    assert "macro-F1 [+0.0100, +0.0300], more than luck explains, and " in said
    assert said.endswith("[-0.0100, +0.0100], which is not distinguishable from zero.")
    assert "-0.0200 macro-F1 [-0.0300, -0.0100], a loss" in _report(loss, gain).describe_worth()
    said = _report(Interval(0.02, NAN, NAN), Interval(-0.01, NAN, NAN)).describe_worth()
    assert "too short to tell: an interval takes 20 days and 160 horizons" in said


def test_it_has_plain_values_for_files() -> None:
    row = _report(Interval(0.0, 0.0, 0.0), Interval(0.5, 0.0, 1.0)).as_row()
    assert json.loads(json.dumps(row)) == row
    assert row["start"] == "1970-01-01T00:00:00+00:00"
    assert row["nll_lead"] == {"value": 0.5, "low": 0.0, "high": 1.0}
    assert "comparison" not in row
    assert row["verdict"] == replace(_report(Interval(0.0, 0.0, 0.0), Interval(0.5, 0.0, 1.0))).describe_worth()
