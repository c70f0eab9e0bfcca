from __future__ import annotations

import math
from typing import Any

import pytest

from core import presets
from core.config import BalanceConfig, LossConfig, TrainerConfig, TrainingConfig
from core.evaluation.checklist import (
    ChecklistLine,
    advice_lines,
    check_lines,
    gate_lines,
    has_skill,
    make_checklist,
    target_lines,
)

GOOD: dict[str, Any] = {
    "val": {"accuracy": 0.58, "macro_f1": 0.55, "direction_auc": 0.60, "top_share": 0.5},
    "val_cross_fitted": {"macro_f1": 0.54, "direction_auc": 0.58},
    "val_baselines_by_halves": {"majority": 0.23, "logistic regression": 0.41},
    "val_lead": {"over": "logistic regression", "value": 0.13, "low": 0.02, "high": 0.21},
    "provable_direction_auc": 0.53,
    "gap": {"gap": 0.05, "val_loss": 0.6},
}


def _with(path: str, value: float | None) -> dict[str, Any]:
    group, _, name = path.partition(".")
    return {**GOOD, group: {**GOOD[group], name: value} if name else value}


def _verdicts(lines: list[ChecklistLine]) -> dict[str, str]:
    return {line.name: line.verdict for line in lines}


def test_the_guides_recipe_passes_its_own_advice() -> None:
    recipe = presets.load_preset("production_small").training_config(size="quick", metric="macro_f1", seed=0)
    assert set(_verdicts(advice_lines(recipe)).values()) == {"pass"}


@pytest.mark.parametrize(
    ("config", "failed"),
    [
        (TrainingConfig(trainer=TrainerConfig(learning_rate=1.01e-4)), "learning rate"),
        (TrainingConfig(trainer=TrainerConfig(batch_size=127)), "batch size"),
        (TrainingConfig(trainer=TrainerConfig(weight_decay=0.0009)), "weight decay"),
        (TrainingConfig(loss=LossConfig(focal_gamma=1.99)), "focal gamma"),
        (TrainingConfig(balance=BalanceConfig(class_weights="none")), "class weights"),
        (TrainingConfig(trainer=TrainerConfig(patience=14)), "patience"),
    ],
)
def test_each_bound_on_the_recipe_is_held(config: TrainingConfig, failed: str) -> None:
    assert [name for name, verdict in _verdicts(advice_lines(config)).items() if verdict == "fail"] == [failed]


@pytest.mark.parametrize(
    "config",
    [
        TrainingConfig(trainer=TrainerConfig(learning_rate=1e-4, batch_size=128, weight_decay=0.001, patience=15)),
        TrainingConfig(loss=LossConfig(focal_gamma=2.0)),
        TrainingConfig(trainer=TrainerConfig(patience=None)),
        TrainingConfig(balance=BalanceConfig(class_weights="none", oversample=True)),
        TrainingConfig(loss=LossConfig(kind="label_smoothing")),  # which has no gamma
    ],
)
def test_a_recipe_on_the_bound_passes(config: TrainingConfig) -> None:
    assert set(_verdicts(advice_lines(config)).values()) == {"pass"}


def test_good_findings_pass_everything() -> None:
    lines = make_checklist(TrainingConfig(), GOOD)
    assert {line.verdict for line in lines} == {"pass"}
    assert has_skill(lines)
    assert [line.kind for line in lines] == ["advice"] * 6 + ["check"] * 2 + ["guide target"] * 4 + ["gate"] * 3


@pytest.mark.parametrize(
    ("path", "value", "failed"),
    [("val.accuracy", 0.5, "val accuracy"), ("gap.gap", 0.15, "train-val gap of the loss")],
)
def test_each_bound_on_a_figure_is_held(path: str, value: float, failed: str) -> None:
    assert [name for name, verdict in _verdicts(check_lines(_with(path, value))).items() if verdict == "fail"] == [
        failed
    ]


@pytest.mark.parametrize(
    ("path", "value", "failed"),
    [
        ("val.accuracy", 0.549, "val accuracy"),
        ("val.accuracy", 0.63, "val accuracy"),  # above the range
        ("val.macro_f1", 0.51, "val macro-F1"),
        ("val.macro_f1", 0.59, "val macro-F1"),
        ("gap.val_loss", 0.7, "val loss (cross-entropy, nats)"),
        ("gap.gap", 0.08, "train-val gap of the loss"),
    ],
)
def test_each_guide_target_is_held(path: str, value: float, failed: str) -> None:
    assert [name for name, verdict in _verdicts(target_lines(_with(path, value))).items() if verdict == "fail"] == [
        failed
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("val_lead.low", 0.0),
        ("val_lead.low", -0.001),
        ("val_lead.low", None),
        ("val_lead.value", math.nan),
        ("val_cross_fitted.direction_auc", 0.53),
        ("provable_direction_auc", 0.61),
        ("val.top_share", 0.91),
        ("val_cross_fitted.direction_auc", math.nan),
        ("val.top_share", math.nan),
    ],
)
def test_any_gate_alone_denies_skill(path: str, value: Any) -> None:
    lines = gate_lines(_with(path, value))
    assert not has_skill(lines)
    assert sum(line.verdict != "pass" for line in lines) == 1


def test_without_findings_nothing_measured_is_judged() -> None:
    lines = make_checklist(TrainingConfig(), {})
    assert {line.verdict for line in lines if line.kind != "advice"} == {"not measured"}
    assert not has_skill(lines)
    assert not any("nan" in line.value + line.bound for line in lines)


def test_the_gate_names_the_baseline_to_beat_and_shows_the_lead_with_its_interval() -> None:
    line = gate_lines(GOOD)[0]
    assert "0.4100 (logistic regression)" in line.bound
    assert line.value == "+0.1300 [+0.0200, +0.2100]"


def test_a_lead_without_bounds_is_too_short_to_tell() -> None:
    short = {**GOOD, "val_lead": {"over": "logistic regression", "value": 0.13, "low": None, "high": None}}
    line = gate_lines(short)[0]
    assert (line.value, line.verdict) == ("+0.1300", "too short to tell")
    assert "val has to last at least 20 days and 160 horizons" in line.bound
    assert not has_skill(make_checklist(TrainingConfig(), short))


def test_a_model_that_was_measured_before_leads_had_intervals_has_not_passed_that_gate() -> None:
    earlier = {key: value for key, value in GOOD.items() if key != "val_lead"}
    assert [line.verdict for line in gate_lines(earlier)] == ["not measured", "pass", "pass"]
