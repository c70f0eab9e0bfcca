"""Troubleshooting: what went wrong in a training that ended badly, the numbers that say so, and the guide's remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.config import TrainingConfig
from core.evaluation.checklist import MAX_GAP
from core.evaluation.history import EpochResult
from core.evaluation.metrics import COLLAPSE

PATIENT_EPOCHS = 20
"""Epochs after which the training loss should have fallen."""
MIN_LOSS_DROP = 0.02
"""Share of the first epoch's loss by which it should have fallen by then."""
SCORE, LOST_SCORE = "macro_f1", 0.03
"""Fall of this metric from the best epoch, while the training loss goes on falling, that tells overfitting."""
CHANCE = 1 / 3
"""Balanced accuracy of guessing."""
ABOVE_CHANCE = 0.02
"""Balanced accuracy beyond guessing that is no accident."""


@dataclass(frozen=True)
class Diagnosis:
    """One finding.

    Attributes:
        what: the trouble, in a few words.
        numbers: what led to it.
        remedy: what the guide advises.
    """

    what: str
    numbers: str
    remedy: str

    def as_row(self) -> dict[str, str]:
        """Plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.what}: {self.numbers}. {self.remedy}."


def diagnose(config: TrainingConfig, history: Sequence[EpochResult], findings: Mapping[str, Any]) -> list[Diagnosis]:
    """What is wrong with a training; empty if nothing is.

    Args:
        config: its recipe.
        history: a result an epoch.
        findings: what was found on val, as `core.training.run` writes it; empty if nothing was held out.
    """
    found = [_loss_not_falling(config, history)]
    if findings:
        found += [
            _overfitting(config, history, findings["gap"]),
            _at_chance(findings["val"]),
            _collapsed(findings["val"]),
        ]
    return [diagnosis for diagnosis in found if diagnosis is not None]


def _loss_not_falling(config: TrainingConfig, history: Sequence[EpochResult]) -> Diagnosis | None:
    if len(history) < PATIENT_EPOCHS:
        return None
    first, least = history[0].train_loss, min(result.train_loss for result in history)
    fall = (first - least) / abs(first) if first else 0.0
    if fall >= MIN_LOSS_DROP:
        return None
    return Diagnosis(
        f"The loss has not fallen after {PATIENT_EPOCHS} epochs",
        f"training loss {first:.4f} in the first epoch, {least:.4f} at its lowest, of {len(history)} "
        f"(learning rate {config.trainer.learning_rate:g})",
        "Raise the learning rate 3 to 10 times, or lower dropout and weight decay; then look at the features "
        "(preset-search data check)",
    )


def _overfitting(config: TrainingConfig, history: Sequence[EpochResult], gap: Mapping[str, float]) -> Diagnosis | None:
    best, last = history[history[-1].best_epoch - 1], history[-1]
    # Whatever chose the epoch: the ranking metric may have any scale.
    lost = best.metrics[SCORE] - last.metrics[SCORE]
    numbers = []
    if gap["gap"] >= MAX_GAP:
        numbers.append(f"cross-entropy {gap['train_loss']:.4f} on train, {gap['val_loss']:.4f} on val")
    if lost >= LOST_SCORE and last.train_loss < best.train_loss:
        numbers.append(
            f"{SCORE} fell from {best.metrics[SCORE]:.4f} at epoch {best.epoch} to {last.metrics[SCORE]:.4f} at "
            f"{last.epoch}, while the training loss fell from {best.train_loss:.4f} to {last.train_loss:.4f}"
        )
    if not numbers:
        return None
    return Diagnosis(
        "Overfitting",
        "; ".join(numbers),
        f"Raise dropout (now {config.model.dropout:g}), weight decay ({config.trainer.weight_decay:g}) and label "
        f"smoothing ({config.loss.label_smoothing:g}), or take preset conservative; more days help most",
    )


def _at_chance(val: Mapping[str, float]) -> Diagnosis | None:
    reached = val["balanced_accuracy"]
    if math.isnan(reached) or reached >= CHANCE + ABOVE_CHANCE:
        return None
    return Diagnosis(
        "Stuck at chance",
        f"balanced accuracy {reached:.4f} on val, guessing has {CHANCE:.4f}; direction AUC {val['direction_auc']:.4f}",
        "Check labels and features (preset-search data check), use class weights, a longer horizon or more days; if "
        "logistic regression finds nothing either, there may be nothing to find",
    )


def _collapsed(val: Mapping[str, float]) -> Diagnosis | None:
    if val["top_share"] <= COLLAPSE:
        return None
    return Diagnosis(
        "Mode collapse",
        f"{val['top_share']:.1%} of the calls on val are one class",
        "Use class weights (balanced) or oversampling, lower the learning rate, raise focal gamma",
    )
