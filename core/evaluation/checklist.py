"""The production checklist: compares a recipe, and what was measured of its training, with bounds, a line each.

There are four kinds of line. *Advice* is about hyperparameters, *checks* are about measurements; both are the guide's,
and neither decides anything. *Guide targets* stand beside what was measured. *Gates* are this project's own: a model
that fails one has shown no skill.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.config import TrainingConfig
from core.evaluation.block_bootstrap import MIN_BLOCKS, MIN_HORIZONS
from core.evaluation.metrics import MAX_TOP_SHARE

Kind = Literal["advice", "check", "guide target", "gate"]
LineResult = Literal["pass", "fail", "too short to tell", "not measured"]

MAX_LEARNING_RATE, MIN_BATCH_SIZE, MIN_WEIGHT_DECAY, MIN_FOCAL_GAMMA, MIN_PATIENCE = 1e-4, 128, 0.001, 2.0, 15
CONFIDENCE = 0.99
"""Confidence of the gate on direction. 95 % would be too low: each training looks at the same val rows once more."""
MIN_ACCURACY, MAX_GAP = 0.50, 0.15
TARGET_ACCURACY, TARGET_F1, TARGET_LOSS, TARGET_GAP = (0.55, 0.62), (0.52, 0.58), 0.7, 0.08

Findings = Mapping[str, Any]
"""Measurements of a training on val, as `core.training.run` writes them into the metrics file, by their key there.

They are empty where no rows were held out.
"""


@dataclass(frozen=True)
class ChecklistLine:
    """One line of the checklist: a value beside its bound.

    Attributes:
        kind: whether the line advises, checks, states a target or decides; see the module.
        name: the hyperparameter or the measurement that is compared.
        value: its value as text; empty where it was not measured.
        bound: the bound on the value as text.
        verdict: whether the value is within the bound; too short to tell where val holds too little time for that.
    """

    kind: Kind
    name: str
    value: str
    bound: str
    verdict: LineResult

    def as_row(self) -> dict[str, str]:
        """Return the line as plain values, for JSON."""
        return asdict(self)


def make_checklist(config: TrainingConfig, findings: Findings) -> list[ChecklistLine]:
    """Make the whole checklist of a training.

    Args:
        config: the recipe that was, or would be, trained with.
        findings: the measurements on val; empty if nothing was held out or trained.

    Returns:
        the lines in the order in which they are shown: advice, checks, guide targets, gates.
    """
    return [*advice_lines(config), *check_lines(findings), *target_lines(findings), *gate_lines(findings)]


def advice_lines(config: TrainingConfig) -> list[ChecklistLine]:
    """Compare a recipe with the guide's bounds on hyperparameters."""
    trainer, gamma, weights = config.trainer, config.loss.focal_gamma, config.balance.class_weights
    rate, batch, decay, patience = trainer.learning_rate, trainer.batch_size, trainer.weight_decay, trainer.patience
    is_balanced = weights != "none" or config.balance.oversample
    # A training that is never stopped early is more patient than any bound.
    is_patient = patience is None or patience >= MIN_PATIENCE
    patience_text = "no early stopping" if patience is None else str(patience)
    is_unused = "focal_gamma" in config.loss.unused
    gamma_text = "not used by the loss" if is_unused else f"{gamma:g}"
    return [
        _line("advice", "learning rate", f"{rate:g}", f"<= {MAX_LEARNING_RATE:g}", rate <= MAX_LEARNING_RATE),
        _line("advice", "batch size", str(batch), f">= {MIN_BATCH_SIZE}", batch >= MIN_BATCH_SIZE),
        _line("advice", "weight decay", f"{decay:g}", f">= {MIN_WEIGHT_DECAY:g}", decay >= MIN_WEIGHT_DECAY),
        _line("advice", "focal gamma", gamma_text, f">= {MIN_FOCAL_GAMMA:g}", is_unused or gamma >= MIN_FOCAL_GAMMA),
        _line("advice", "class weights", weights, "on, or oversampling", is_balanced),
        _line("advice", "patience", patience_text, f">= {MIN_PATIENCE}", is_patient),
    ]


def check_lines(findings: Findings) -> list[ChecklistLine]:
    """Compare the measurements with the guide's bounds on them."""
    accuracy, gap = _measurement(findings, "val", "accuracy"), _measurement(findings, "gap", "gap")
    return [
        _share("check", "val accuracy", accuracy, f"> {MIN_ACCURACY:.0%}", accuracy > MIN_ACCURACY),
        _measured("check", "train-val gap of the loss", gap, f"< {MAX_GAP:g}", gap < MAX_GAP),
    ]


def target_lines(findings: Findings) -> list[ChecklistLine]:
    """Compare the measurements with the guide's table of targets.

    A measurement above its range is no success: it calls for the search of a leak.
    """
    accuracy, f1 = _measurement(findings, "val", "accuracy"), _measurement(findings, "val", "macro_f1")
    loss, gap = _measurement(findings, "gap", "val_loss"), _measurement(findings, "gap", "gap")
    accuracy_range, f1_range = _format_range(TARGET_ACCURACY), _format_range(TARGET_F1)
    return [
        _share("guide target", "val accuracy", accuracy, accuracy_range, _within(accuracy, TARGET_ACCURACY)),
        _share("guide target", "val macro-F1", f1, f1_range, _within(f1, TARGET_F1)),
        _measured("guide target", "val loss (cross-entropy, nats)", loss, f"< {TARGET_LOSS:g}", loss < TARGET_LOSS),
        _measured("guide target", "train-val gap of the loss", gap, f"< {TARGET_GAP:g}", gap < TARGET_GAP),
    ]


def gate_lines(findings: Findings) -> list[ChecklistLine]:
    """Decide whether a model has shown skill: it beats every baseline, its direction is not luck, it has not collapsed.

    The first two are judged on rows that did not choose the epoch (see `core.evaluation.history.cross_fitted_scores`),
    and the baselines on the same halves of val. A lead counts if luck does not explain it (see `core.evaluation.lead`).
    """
    auc = _measurement(findings, "val_cross_fitted", "direction_auc")
    provable = _measurement(findings, "provable_direction_auc")
    share = _measurement(findings, "val", "top_share")
    luck = "> what luck reaches" if math.isnan(provable) else f"> {provable:.4f} ({CONFIDENCE:.0%}, on these rows)"
    return [
        _lead_line(findings),
        _measured("gate", "direction AUC beyond luck", auc, luck, auc > provable),
        _share("gate", "no mode collapse: class called most", share, f"<= {MAX_TOP_SHARE:.0%}", share <= MAX_TOP_SHARE),
    ]


def _lead_line(findings: Findings) -> ChecklistLine:
    """Return the gate that the lower bound of the lead over the best baseline is above zero."""
    name, bound = "macro-F1 above the best baseline's", "> 0 at the lower bound"
    baselines: Mapping[str, float] = findings.get("val_baselines_by_halves", {})
    best = max(baselines, key=lambda baseline: baselines[baseline], default="")
    if best:
        bound += f", over {float(baselines[best]):.4f} ({best})"
    value, low, high = (_measurement(findings, "val_lead", key) for key in ("value", "low", "high"))
    if math.isnan(value):  # also of a checkpoint of a version that did not measure it
        return ChecklistLine("gate", name, "", bound, "not measured")
    if math.isnan(low):
        bound += f"; val has to last at least {MIN_BLOCKS} days and {MIN_BLOCKS * MIN_HORIZONS} horizons"
        return ChecklistLine("gate", name, f"{value:+.4f}", bound, "too short to tell")
    return _line("gate", name, f"{value:+.4f} [{low:+.4f}, {high:+.4f}]", bound, low > 0)


def has_skill(lines: list[ChecklistLine]) -> bool:
    """Return whether the model has passed every gate of its checklist."""
    return all(line.verdict == "pass" for line in lines if line.kind == "gate")


def _measurement(findings: Findings, *path: str) -> float:
    """Return the number at a path of keys in the findings; NaN where it was not measured."""
    value: Any = findings
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else math.nan


def _line(kind: Kind, name: str, value: str, bound: str, passes: bool) -> ChecklistLine:
    return ChecklistLine(kind, name, value, bound, "pass" if passes else "fail")


def _measured(kind: Kind, name: str, value: float, bound: str, passes: bool, format_spec: str = ".4f") -> ChecklistLine:
    if math.isnan(value):
        return ChecklistLine(kind, name, "", bound, "not measured")
    return _line(kind, name, format(value, format_spec), bound, passes)


def _share(kind: Kind, name: str, value: float, bound: str, passes: bool) -> ChecklistLine:
    return _measured(kind, name, value, bound, passes, ".1%")


def _format_range(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.0%} to {bounds[1]:.0%}"


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]
