from __future__ import annotations

import math

import pytest

from core.evaluation.history import EpochResult, cross_fitted_scores


def _result(epoch: int, early: float, late: float, auc: tuple[float, float]) -> EpochResult:
    halves = [{"macro_f1": score, "direction_auc": a} for score, a in zip((early, late), auc, strict=True)]
    return EpochResult(epoch, 0.0, 0.0, 1, {"macro_f1": 0.0}, {}, 0.0, 0.0, 0.0, halves)


def test_each_half_of_val_is_judged_at_the_epoch_that_the_other_chose() -> None:
    history = [_result(1, 0.6, 0.1, (0.9, 0.5)), _result(2, 0.3, 0.2, (0.7, 0.6)), _result(3, 0.1, 0.5, (0.4, 0.8))]
    # The early half chose epoch 1, the late one epoch 3.
    scores = cross_fitted_scores(history, "macro_f1")
    assert scores == {"macro_f1": pytest.approx((0.1 + 0.1) / 2), "direction_auc": pytest.approx((0.4 + 0.5) / 2)}


def test_an_undefined_score_chooses_no_epoch() -> None:
    history = [_result(1, math.nan, 0.4, (0.5, 0.5)), _result(2, 0.2, math.nan, (0.6, 0.6))]
    assert cross_fitted_scores(history, "macro_f1")["direction_auc"] == pytest.approx((0.5 + 0.6) / 2)
