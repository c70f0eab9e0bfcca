from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from core.data.labels import BUY, HOLD, SELL
from core.evaluation import metrics
from core.evaluation.decision import Decisions
from core.evaluation.metrics import direction_auc
from tests.helpers.predictions import most_probable, random_rows


def evaluate(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    return metrics.evaluate(labels, probabilities, most_probable(probabilities))


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_metrics_are_scikit_learns(seed: int) -> None:
    labels, probabilities = random_rows(seed)
    calls = probabilities.argmax(axis=1)
    moves = labels != HOLD
    direction = probabilities[:, BUY] - probabilities[:, SELL]
    assert evaluate(labels, probabilities) == pytest.approx(
        {
            "accuracy": sk.accuracy_score(labels, calls),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, calls),
            "macro_f1": sk.f1_score(labels, calls, average="macro"),
            "mcc": sk.matthews_corrcoef(labels, calls),
            "auc": sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
            "direction_auc": sk.roc_auc_score(labels[moves] == BUY, direction[moves]),
            "nll": sk.log_loss(labels, probabilities),
            "ece": metrics.expected_calibration_error(labels, probabilities),
            "top_share": np.bincount(probabilities.argmax(axis=1)).max() / len(labels),
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
            "nll": 1.5 * np.log(2),
            "ece": 0.0,
            "top_share": 1.0,
        }
    )


def test_perfect_predictions_score_perfectly() -> None:
    labels = np.arange(30) % 3
    scores = evaluate(labels, np.eye(3)[labels])
    scores.pop("ece"), scores.pop("top_share")
    assert scores.pop("nll") == pytest.approx(0, abs=1e-3)
    assert set(scores.values()) == {1.0}


def test_a_class_never_called_still_counts_in_macro_f1() -> None:
    labels = np.array([SELL, SELL, HOLD, HOLD])
    assert evaluate(labels, np.eye(3)[labels])["macro_f1"] == pytest.approx(2 / 3)


def test_a_class_that_does_not_occur_is_left_out_of_balanced_accuracy() -> None:
    labels = np.array([SELL, SELL, HOLD, HOLD])
    calls = np.array([SELL, BUY, HOLD, HOLD])
    assert evaluate(labels, np.eye(3)[calls])["balanced_accuracy"] == pytest.approx(0.75)


def test_skill_at_volatility_gives_no_direction_auc() -> None:
    labels, _ = random_rows(0)
    knows_when = np.where((labels == HOLD)[:, None], [0.05, 0.9, 0.05], [0.45, 0.1, 0.45])
    scores = evaluate(labels, knows_when)
    assert scores["auc"] > 0.7
    assert scores["direction_auc"] == 0.5


def test_skill_at_direction_is_seen_whatever_hold_gets() -> None:
    labels, _ = random_rows(0)
    rng = np.random.default_rng(1)
    direction = np.select([labels == SELL, labels == BUY], [-1.0, 1.0], rng.choice([-1.0, 1.0], len(labels)))
    hold = rng.random(len(labels))
    knows_where = np.stack([(1 - hold) * (1 - direction) / 2, hold, (1 - hold) * (1 + direction) / 2], axis=1)
    assert direction_auc(labels, knows_where) == 1.0


@pytest.mark.parametrize(
    ("present", "undefined"),
    [
        ([HOLD], {"auc", "direction_auc"}),
        ([SELL, HOLD], {"auc", "direction_auc"}),
        ([SELL, BUY], {"auc"}),
        ([SELL, HOLD, BUY], set()),
    ],
    ids=["HOLD", "no BUY", "no HOLD", "all"],
)
def test_what_the_labels_do_not_define_is_nan(present: list[int], undefined: set[str]) -> None:
    labels = np.resize(present, 12)
    _, probabilities = random_rows(0, 12)
    scores = evaluate(labels, probabilities)
    assert {name for name, value in scores.items() if math.isnan(value)} == undefined


def test_a_single_class_rightly_called_is_scored_without_a_warning() -> None:
    labels = np.full(5, HOLD)
    scores = evaluate(labels, np.tile([0.1, 0.8, 0.1], (5, 1)))
    assert scores["accuracy"] == 1.0


def test_all_scores_are_plain_floats() -> None:
    assert {type(value) for value in evaluate(*random_rows(0)).values()} == {float}


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    labels = np.repeat([SELL, HOLD], [60, 40])
    sure = np.tile([0.8, 0.1, 0.1], (100, 1))
    assert metrics.expected_calibration_error(labels, sure) == pytest.approx(0.2)
    assert metrics.expected_calibration_error(labels, np.tile([0.6, 0.3, 0.1], (100, 1))) == pytest.approx(0)


def test_the_share_of_the_class_called_most_shows_a_collapse() -> None:
    labels, _ = random_rows(0, 10)
    calls = np.array([HOLD] * 9 + [BUY])
    assert evaluate(labels, np.eye(3)[calls])["top_share"] == pytest.approx(0.9)


def test_the_table_of_classes_is_scikit_learns() -> None:
    labels, probabilities = random_rows(3)
    calls = probabilities.argmax(axis=1)
    table = metrics.per_class_scores(labels, calls)
    report = sk.classification_report(labels, calls, output_dict=True)
    for code, name in enumerate(("SELL", "HOLD", "BUY")):
        assert table[name]["precision"] == pytest.approx(report[str(code)]["precision"])
        assert table[name]["recall"] == pytest.approx(report[str(code)]["recall"])
        assert table[name]["f1"] == pytest.approx(report[str(code)]["f1-score"])
        assert table[name]["support"] == report[str(code)]["support"]


def test_selective_figures_take_the_surest_calls_and_no_hold() -> None:
    # Ten calls, the most certain first; the first two are right, then every other one.
    strength = np.linspace(0.9, 0.51, 10)
    probabilities = np.stack([np.zeros(10), 1 - strength, strength], axis=1)
    probabilities = np.concatenate([probabilities, np.tile([0.1, 0.8, 0.1], (30, 1))])
    returns = np.concatenate([[1, 1, -1, 1, -1, 1, -1, 1, -1, 1], -np.ones(30)])
    probabilities[-1] = [0.9, 0.05, 0.05]  # a certain SELL, and right
    accuracies = metrics.selective_accuracy(returns, most_probable(probabilities))
    assert accuracies == {"top 10%": 1.0, "top 25%": 1.0, "top 50%": pytest.approx(4 / 6)}


def test_without_a_call_there_is_no_selective_figure() -> None:
    accuracies = metrics.selective_accuracy(np.ones(5), most_probable(np.tile([0.1, 0.8, 0.1], (5, 1))))
    assert all(math.isnan(value) for value in accuracies.values())


def test_each_metric_is_of_the_calls_or_of_one_of_the_two_kinds_of_probabilities() -> None:
    labels, raw = random_rows(5)
    _, calibrated = random_rows(6)
    calls = np.roll(labels, 1)
    scores = metrics.evaluate(labels, raw, Decisions(calibrated, calls))
    assert scores["macro_f1"] == sk.f1_score(labels, calls, average="macro")
    assert scores["mcc"] == pytest.approx(sk.matthews_corrcoef(labels, calls))
    assert scores["accuracy"] == sk.accuracy_score(labels, calls)
    assert scores["nll"] == pytest.approx(sk.log_loss(labels, calibrated))
    assert scores["ece"] == metrics.expected_calibration_error(labels, calibrated)
    assert scores["auc"] == metrics.multiclass_auc(labels, raw)
    assert scores["direction_auc"] == direction_auc(labels, raw)


def test_a_selective_figure_takes_the_side_of_the_call() -> None:
    decisions = Decisions(np.array([[0.3, 0.4, 0.3], [0.4, 0.5, 0.1]]), np.array([BUY, SELL]))
    assert metrics.selective_accuracy(np.array([1.0, -1.0]), decisions)["top 50%"] == 1.0
    assert metrics.selective_accuracy(np.array([1.0, 1.0]), decisions)["top 50%"] == 0.0
