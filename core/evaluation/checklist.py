"""The production checklist: what a recipe and what it led to are held against, a line each.

Four kinds of line. *Advice* is about hyperparameters, *checks* about measured figures; both are the guide's, and
neither decides anything. *Guide targets* stand beside what was measured. *Gates* are this project's own: a model that
fails one has shown no skill.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from core.config import TrainingConfig
from core.evaluation.metrics import COLLAPSE

Kind = Literal["advice", "check", "guide target", "gate"]
Verdict = Literal["pass", "fail", "not measured"]

MAX_LEARNING_RATE, MIN_BATCH_SIZE, MIN_WEIGHT_DECAY, MIN_FOCAL_GAMMA, MIN_PATIENCE = 1e-4, 128, 0.001, 2.0, 15
CONFIDENCE = 0.99
"""Of the gate on direction. 95 % would be too little: every training takes another look at the same validation rows."""
MIN_ACCURACY, MAX_GAP = 0.50, 0.15
TARGET_ACCURACY, TARGET_F1, TARGET_LOSS, TARGET_GAP = (0.55, 0.62), (0.52, 0.58), 0.7, 0.08

Findings = Mapping[str, Any]
"""What a training found on val, as `core.training.run` writes it into the metrics file; empty without held-out rows."""


@dataclass(frozen=True)
class ChecklistLine:
    """One line of the checklist.

    Attributes:
        kind: whose line it is.
        name: what is looked at.
        value: what was found, in words.
        bound: what it should be, in words.
        verdict: how the one compares to the other.
    """

    kind: Kind
    name: str
    value: str
    bound: str
    verdict: Verdict

    def as_row(self) -> dict[str, str]:
        """Plain values, for JSON."""
        return asdict(self)


def checklist(config: TrainingConfig, findings: Findings) -> list[ChecklistLine]:
    """All lines, in the order in which they are shown.

    Args:
        config: the recipe.
        findings: what was found on val; empty if nothing was.
    """
    return [*advice(config), *checks(findings), *targets(findings), *gates(findings)]


def advice(config: TrainingConfig) -> list[ChecklistLine]:
    """The guide's bounds on the recipe."""
    trainer, gamma, weights = config.trainer, config.loss.focal_gamma, config.balance.class_weights
    rate, batch, decay, patience = trainer.learning_rate, trainer.batch_size, trainer.weight_decay, trainer.patience
    balanced = weights != "none" or config.balance.oversample
    # A training that is never stopped early is more patient than any bound.
    waits, patient = ("no early stopping", True) if patience is None else (str(patience), patience >= MIN_PATIENCE)
    return [
        _line("advice", "learning rate", f"{rate:g}", f"<= {MAX_LEARNING_RATE:g}", rate <= MAX_LEARNING_RATE),
        _line("advice", "batch size", str(batch), f">= {MIN_BATCH_SIZE}", batch >= MIN_BATCH_SIZE),
        _line("advice", "weight decay", f"{decay:g}", f">= {MIN_WEIGHT_DECAY:g}", decay >= MIN_WEIGHT_DECAY),
        _line("advice", "focal gamma", f"{gamma:g}", f">= {MIN_FOCAL_GAMMA:g}", gamma >= MIN_FOCAL_GAMMA),
        _line("advice", "class weights", weights, "on, or oversampling", balanced),
        _line("advice", "patience", waits, f">= {MIN_PATIENCE}", patient),
    ]


def checks(findings: Findings) -> list[ChecklistLine]:
    """The guide's bounds on measured figures."""
    accuracy, gap = _figure(findings, "val", "accuracy"), _figure(findings, "gap", "gap")
    return [
        _share("check", "val accuracy", accuracy, f"> {MIN_ACCURACY:.0%}", accuracy > MIN_ACCURACY),
        _measured("check", "train-val gap of the loss", gap, f"< {MAX_GAP:g}", gap < MAX_GAP),
    ]


def targets(findings: Findings) -> list[ChecklistLine]:
    """The guide's table of targets, beside what was measured. A figure above a range is no success: look for a leak."""
    accuracy, f1 = _figure(findings, "val", "accuracy"), _figure(findings, "val", "macro_f1")
    loss, gap = _figure(findings, "gap", "val_loss"), _figure(findings, "gap", "gap")
    right, good = _within(accuracy, TARGET_ACCURACY), _within(f1, TARGET_F1)
    return [
        _share("guide target", "val accuracy", accuracy, _range(TARGET_ACCURACY), right),
        _share("guide target", "val macro-F1", f1, _range(TARGET_F1), good),
        _measured("guide target", "val loss (cross-entropy, nats)", loss, f"< {TARGET_LOSS:g}", loss < TARGET_LOSS),
        _measured("guide target", "train-val gap of the loss", gap, f"< {TARGET_GAP:g}", gap < TARGET_GAP),
    ]


def gates(findings: Findings) -> list[ChecklistLine]:
    """This project's own: better than every yardstick, a direction that is not luck, more than one class called.

    The first two are judged on rows that did not choose the epoch (see `core.evaluation.history.cross_fitted`), the
    yardsticks on the same halves.
    """
    yardsticks: Mapping[str, float] = findings.get("val_yardsticks_by_halves", {})
    best = max(yardsticks, key=lambda name: yardsticks[name], default="")
    least = float(yardsticks[best]) if best else math.nan
    f1, auc = _figure(findings, "val_cross_fitted", "macro_f1"), _figure(findings, "val_cross_fitted", "direction_auc")
    provable = _figure(findings, "provable_direction_auc")
    share = _figure(findings, "val", "top_share")
    luck = "> what luck reaches" if math.isnan(provable) else f"> {provable:.4f} ({CONFIDENCE:.0%}, on these rows)"
    mixed = share <= COLLAPSE
    return [
        _measured(
            "gate",
            "macro-F1 better than every yardstick",
            f1,
            f"> {least:.4f} ({best})" if best else "> the best of them",
            f1 > least,
        ),
        _measured("gate", "direction AUC beyond luck", auc, luck, auc > provable),
        _share("gate", "no mode collapse: class called most", share, f"<= {COLLAPSE:.0%}", mixed),
    ]


def has_skill(lines: list[ChecklistLine]) -> bool:
    """Whether every gate was passed."""
    return all(line.verdict == "pass" for line in lines if line.kind == "gate")


def _figure(findings: Findings, *path: str) -> float:
    """A figure of the findings; NaN where it was not measured."""
    value: Any = findings
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else math.nan


def _line(kind: Kind, name: str, value: str, bound: str, holds: bool) -> ChecklistLine:
    return ChecklistLine(kind, name, value, bound, "pass" if holds else "fail")


def _measured(kind: Kind, name: str, value: float, bound: str, holds: bool, form: str = ".4f") -> ChecklistLine:
    if math.isnan(value):
        return ChecklistLine(kind, name, "", bound, "not measured")
    return _line(kind, name, format(value, form), bound, holds)


def _share(kind: Kind, name: str, value: float, bound: str, holds: bool) -> ChecklistLine:
    return _measured(kind, name, value, bound, holds, ".1%")


def _range(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.0%} to {bounds[1]:.0%}"


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]
