from __future__ import annotations

from typing import Any

import pytest

from core.config import TrainingConfig
from core.evaluation.diagnosis import Diagnosis, diagnose
from core.evaluation.history import EpochResult

FINE: dict[str, Any] = {
    "val": {"balanced_accuracy": 0.45, "direction_auc": 0.55, "top_share": 0.6},
    "gap": {"gap": 0.05, "val_loss": 1.0, "train_loss": 0.95},
}


def _history(losses: list[float], scores: list[float]) -> list[EpochResult]:
    results = []
    for epoch, (loss, score) in enumerate(zip(losses, scores, strict=True), start=1):
        best = max(range(epoch), key=lambda place: (scores[place], -place))
        results.append(EpochResult(epoch, score, scores[best], best + 1, {"macro_f1": score}, {}, loss, 1e-3, 0.1, []))
    return results


LEARNING = _history([1.0 - 0.01 * k for k in range(25)], [0.4 + 0.001 * k for k in range(25)])


def _diagnose(history: list[EpochResult] = LEARNING, **findings: dict[str, float]) -> list[Diagnosis]:
    changed = {name: {**values, **findings.get(name, {})} for name, values in FINE.items()}
    return diagnose(TrainingConfig(), history, changed)


def test_a_training_that_went_well_has_no_diagnosis() -> None:
    assert _diagnose() == []


def test_a_loss_that_does_not_fall_is_reported_with_its_numbers() -> None:
    flat = [1.0 - 0.0005 * k for k in range(20)]
    (diagnosis,) = _diagnose(_history(flat, [0.4] * 20))
    assert "not fallen after 20 epochs" in diagnosis.what
    assert "1.0000 in the first of 20 epochs, 0.9905 at its lowest" in diagnosis.numbers
    assert "learning rate" in diagnosis.remedy
    assert _diagnose(_history(flat[:19], [0.4] * 19)) == []  # too early to say


def test_a_gap_between_train_and_val_is_overfitting() -> None:
    (diagnosis,) = _diagnose(gap={"gap": 0.15, "val_loss": 1.1, "train_loss": 0.95})
    assert diagnosis.what == "Overfitting"
    assert "0.9500 on train, 1.1000 on val" in diagnosis.numbers
    assert "dropout" in diagnosis.remedy


def test_a_score_that_falls_while_the_loss_falls_is_overfitting() -> None:
    falling = _history([1.0, 0.9, 0.8, 0.7], [0.4, 0.5, 0.48, 0.46])
    (diagnosis,) = _diagnose(falling)
    assert "fell from 0.5000 at epoch 2 to 0.4600 at epoch 4" in diagnosis.numbers
    # Where the loss rises too, it is no overfitting.
    assert _diagnose(_history([1.0, 0.7, 0.8, 0.9], [0.4, 0.5, 0.48, 0.46])) == []
    assert _diagnose(_history([1.0, 0.9, 0.8], [0.4, 0.5, 0.48])) == []


def test_balanced_accuracy_of_guessing_is_chance() -> None:
    (diagnosis,) = _diagnose(val={"balanced_accuracy": 0.35})
    assert diagnosis.what == "Stuck at chance"
    assert "0.3500" in diagnosis.numbers
    assert "0.3333" in diagnosis.numbers
    assert _diagnose(val={"balanced_accuracy": 0.36}) == []


def test_one_class_called_all_the_time_is_a_collapse() -> None:
    (diagnosis,) = _diagnose(val={"top_share": 0.91})
    assert diagnosis.what == "Mode collapse"
    assert "91.0%" in diagnosis.numbers


def test_several_troubles_are_all_reported() -> None:
    assert len(_diagnose(val={"top_share": 1.0, "balanced_accuracy": 1 / 3})) == 2


def test_without_held_out_rows_only_the_loss_is_judged() -> None:
    assert diagnose(TrainingConfig(), LEARNING, {}) == []
    assert len(diagnose(TrainingConfig(), _history([1.0] * 20, [0.4] * 20), {})) == 1


@pytest.mark.parametrize("first", [0.0, -1.0])
def test_a_loss_of_nothing_divides_by_nothing(first: float) -> None:
    assert len(diagnose(TrainingConfig(), _history([first] * 20, [0.4] * 20), {})) == 1


def test_a_diagnosis_reads_as_a_sentence() -> None:
    assert str(Diagnosis("What", "1 of 2", "Do this")) == "What: 1 of 2. Do this."
