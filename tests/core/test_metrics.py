from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from core.market.labels import BUY, HOLD, SELL
from core.metrics import direction_auc, evaluate


def _example(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 3, count).astype(np.int8), rng.dirichlet([1, 1, 1], count)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_metrics_are_scikit_learns(seed: int) -> None:
    labels, probabilities = _example(seed)
    called = probabilities.argmax(axis=1)
    moves = labels != HOLD
    lean = probabilities[:, BUY] - probabilities[:, SELL]
    assert evaluate(labels, probabilities) == pytest.approx(
        {
            "accuracy": sk.accuracy_score(labels, called),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, called),
            "macro_f1": sk.f1_score(labels, called, average="macro"),
            "mcc": sk.matthews_corrcoef(labels, called),
            "auc": sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
            "direction_auc": sk.roc_auc_score(labels[moves] == BUY, lean[moves]),
            "nll": -np.mean(np.log(probabilities[np.arange(len(labels)), labels])),
        }
    )


def test_always_hold_scores_what_the_class_shares_give() -> None:
    labels = np.repeat([SELL, HOLD, BUY], [250, 500, 250])
    scores = evaluate(labels, np.tile([0.25, 0.5, 0.25], (1000, 1)))
    assert scores == pytest.approx(
        {
            "accuracy": 0.5,
            "balanced_accuracy": 1 / 3,
            "macro_f1": 2 / 9,
            "mcc": 0.0,
            "auc": 0.5,
            "direction_auc": 0.5,
            "nll": 1.0397208,
        }
    )


def test_perfect_predictions_score_perfectly() -> None:
    labels = np.arange(30) % 3
    scores = evaluate(labels, np.eye(3)[labels])
    assert scores.pop("nll") == pytest.approx(0, abs=1e-9)
    assert set(scores.values()) == {1.0}


def test_a_class_never_called_still_counts_in_macro_f1() -> None:
    labels = np.array([SELL, SELL, HOLD, HOLD])
    assert evaluate(labels, np.eye(3)[labels])["macro_f1"] == pytest.approx(2 / 3)


def test_a_class_that_does_not_occur_is_left_out_of_balanced_accuracy() -> None:
    labels = np.array([SELL, SELL, HOLD, HOLD])
    called = np.array([SELL, BUY, HOLD, HOLD])
    assert evaluate(labels, np.eye(3)[called])["balanced_accuracy"] == pytest.approx(0.75)


def test_skill_at_volatility_is_none_at_direction() -> None:
    labels, _ = _example(0)
    knows_when = np.where((labels == HOLD)[:, None], [0.05, 0.9, 0.05], [0.45, 0.1, 0.45])
    scores = evaluate(labels, knows_when)
    assert scores["auc"] > 0.7
    assert scores["direction_auc"] == 0.5


def test_skill_at_direction_is_seen_whatever_hold_gets() -> None:
    labels, _ = _example(0)
    rng = np.random.default_rng(1)
    lean = np.select([labels == SELL, labels == BUY], [-1.0, 1.0], rng.choice([-1.0, 1.0], len(labels)))
    hold = rng.random(len(labels))
    knows_where = np.stack([(1 - hold) * (1 - lean) / 2, hold, (1 - hold) * (1 + lean) / 2], axis=1)
    assert direction_auc(labels, knows_where) == 1.0


@pytest.mark.parametrize(
    ("present", "undefined"),
    [
        ([HOLD], {"auc", "direction_auc"}),
        ([SELL, HOLD], {"auc", "direction_auc"}),
        ([SELL, BUY], {"auc"}),
        ([SELL, HOLD, BUY], set()),
    ],
    ids=str,
)
def test_what_the_labels_do_not_define_is_nan(present: list[int], undefined: set[str]) -> None:
    labels = np.resize(present, 12)
    _, probabilities = _example(0, 12)
    scores = evaluate(labels, probabilities)
    assert {name for name, value in scores.items() if math.isnan(value)} == undefined


def test_a_single_class_rightly_called_is_scored_without_a_warning() -> None:
    labels = np.full(5, HOLD)
    scores = evaluate(labels, np.tile([0.1, 0.8, 0.1], (5, 1)))
    assert scores["accuracy"] == 1.0


def test_all_scores_are_plain_floats() -> None:
    assert {type(value) for value in evaluate(*_example(0)).values()} == {float}
