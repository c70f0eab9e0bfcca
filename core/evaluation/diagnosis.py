"""Diagnoses a training that ended badly: names the trouble, the numbers that show it, and the guide's remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.config import TrainingConfig
from core.evaluation.checklist import MAX_GAP
from core.evaluation.history import EpochResult
from core.evaluation.metrics import MAX_TOP_SHARE

MIN_EPOCHS = 20
"""Epochs after which the training loss should have fallen."""
MIN_LOSS_DROP = 0.02
"""Share of the first epoch's loss by which the loss should have fallen by then."""
OVERFITTING_METRIC, MAX_SCORE_DROP = "macro_f1", 0.03
"""A fall of this metric since the best epoch, while the training loss still falls, that shows overfitting."""
CHANCE = 1 / 3
"""Balanced accuracy of guessing."""
MIN_ABOVE_CHANCE = 0.02
"""Excess of balanced accuracy over that of guessing from which a model counts as better than guessing."""


@dataclass(frozen=True)
class Diagnosis:
    """Names one trouble of a training.

    Attributes:
        what: the trouble, in a few words.
        numbers: the numbers that show it, as text.
        remedy: what the guide advises to do about it.
    """

    what: str
    numbers: str
    remedy: str

    def as_row(self) -> dict[str, str]:
        """Return the diagnosis as plain values, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.what}: {self.numbers}. {self.remedy}."


def diagnose(config: TrainingConfig, history: Sequence[EpochResult], findings: Mapping[str, Any]) -> list[Diagnosis]:
    """Diagnose what went wrong in a training.

    Args:
        config: the recipe of the training.
        history: the results of all its epochs.
        findings: the measurements on val, see `core.evaluation.checklist.Findings`; empty if nothing was held out.

    Returns:
        one diagnosis per trouble; none if nothing is wrong.
    """
    diagnoses = [_diagnose_loss(config, history)]
    if findings:
        diagnoses += [
            _diagnose_overfitting(config, history, findings["gap"]),
            _diagnose_chance(findings["val"]),
            _diagnose_collapse(findings["val"]),
        ]
    return [diagnosis for diagnosis in diagnoses if diagnosis is not None]


def _diagnose_loss(config: TrainingConfig, history: Sequence[EpochResult]) -> Diagnosis | None:
    if len(history) < MIN_EPOCHS:
        return None
    first, lowest = history[0].train_loss, min(result.train_loss for result in history)
    drop = (first - lowest) / abs(first) if first else 0.0
    if drop >= MIN_LOSS_DROP:
        return None
    return Diagnosis(
        f"The loss has not fallen after {MIN_EPOCHS} epochs",
        f"training loss {first:.4f} in the first of {len(history)} epochs, {lowest:.4f} at its lowest "
        f"(learning rate {config.trainer.learning_rate:g})",
        "Raise the learning rate 3 to 10 times, or lower dropout and weight decay; then check the features "
        "(preset-search data check)",
    )


def _diagnose_overfitting(
    config: TrainingConfig, history: Sequence[EpochResult], gap: Mapping[str, float]
) -> Diagnosis | None:
    best, last = history[history[-1].best_epoch - 1], history[-1]
    # One metric for all trainings, whatever chose the epoch: the ranking metric may have any scale.
    best_score, last_score = best.metrics[OVERFITTING_METRIC], last.metrics[OVERFITTING_METRIC]
    numbers = []
    if gap["gap"] >= MAX_GAP:
        numbers.append(f"cross-entropy {gap['train_loss']:.4f} on train, {gap['val_loss']:.4f} on val")
    if best_score - last_score >= MAX_SCORE_DROP and last.train_loss < best.train_loss:
        numbers.append(
            f"{OVERFITTING_METRIC} fell from {best_score:.4f} at epoch {best.epoch} to {last_score:.4f} at epoch "
            f"{last.epoch}, while the training loss fell from {best.train_loss:.4f} to {last.train_loss:.4f}"
        )
    if not numbers:
        return None
    return Diagnosis(
        "Overfitting",
        "; ".join(numbers),
        f"Raise dropout (now {config.model.dropout:g}), weight decay ({config.trainer.weight_decay:g}) and label "
        f"smoothing ({config.loss.label_smoothing:g}), or use preset conservative; more days help most",
    )


def _diagnose_chance(val: Mapping[str, float]) -> Diagnosis | None:
    accuracy = val["balanced_accuracy"]
    if math.isnan(accuracy) or accuracy >= CHANCE + MIN_ABOVE_CHANCE:
        return None
    return Diagnosis(
        "Stuck at chance",
        f"balanced accuracy {accuracy:.4f} on val, {CHANCE:.4f} by guessing; direction AUC {val['direction_auc']:.4f}",
        "Check labels and features (preset-search data check), use class weights, a longer horizon or more days; if "
        "logistic regression finds nothing either, there may be nothing to find",
    )


def _diagnose_collapse(val: Mapping[str, float]) -> Diagnosis | None:
    if val["top_share"] <= MAX_TOP_SHARE:
        return None
    return Diagnosis(
        "Mode collapse",
        f"{val['top_share']:.1%} of the calls on val are one class",
        "Use class weights (balanced) or oversampling, lower the learning rate, raise focal gamma",
    )
