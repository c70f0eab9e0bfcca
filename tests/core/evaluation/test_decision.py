from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from core.config import RankingMetric
from core.evaluation.calibration import fit_calibration, logits_of, nll
from core.evaluation.confusion import CALL_METRICS
from core.evaluation.decision import (
    DecisionRule,
    Decisions,
    cross_fitted_decisions,
    decide,
    fit_decision_rule,
    fit_decisions,
)
from tests.helpers.predictions import random_rows


def _counts(labels: np.ndarray, calls: np.ndarray) -> np.ndarray:
    return np.bincount(labels * 3 + calls, minlength=9).reshape(1, 3, 3)


def test_without_a_bias_the_most_probable_class_is_called() -> None:
    _, probabilities = random_rows(0)
    assert DecisionRule().calls(probabilities).tolist() == probabilities.argmax(axis=1).tolist()


def test_a_bias_moves_the_threshold_between_two_classes() -> None:
    probabilities = np.array([[0.30, 0.40, 0.30], [0.45, 0.50, 0.05]])
    assert DecisionRule((0.2, 0.0, 0.3)).calls(probabilities).tolist() == [2, 0]


@pytest.mark.parametrize("metric", CALL_METRICS)
def test_no_other_rule_of_a_fine_grid_is_much_better(metric: RankingMetric) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 600, p=[0.2, 0.6, 0.2])
    logits = rng.standard_normal((600, 3)) * 0.5 + np.array([0.0, 0.9, 0.0])
    logits[np.arange(600), labels] += 0.6
    probabilities = softmax(logits, axis=1)

    def score(rule: DecisionRule) -> float:
        return float(CALL_METRICS[metric](_counts(labels, rule.calls(probabilities)))[0])

    fitted = score(fit_decision_rule(metric, probabilities, labels))
    grid = np.linspace(-2.2, 2.2, 60)
    best = max(score(DecisionRule((float(sell), 0.0, float(buy)))) for sell in grid for buy in grid)
    assert fitted > best - 0.005
    assert fitted >= score(DecisionRule())


def test_balanced_accuracy_asks_for_the_odds_of_the_classes() -> None:
    """The best rule divides each probability by the class's share (the Bayes rule of equal priors)."""
    rng = np.random.default_rng(1)
    labels = rng.choice(3, 40_000, p=[0.25, 0.5, 0.25])
    likelihood = rng.standard_normal((40_000, 3))
    likelihood[np.arange(40_000), labels] += 0.8
    probabilities = softmax(0.8 * likelihood + np.log([0.25, 0.5, 0.25]), axis=1)
    rule = fit_decision_rule("balanced_accuracy", probabilities, labels)
    assert rule.bias == pytest.approx((np.log(2), 0.0, np.log(2)), abs=0.25)


@pytest.mark.parametrize("metric", ["auc", "direction_auc", "nll", "net_sharpe"])
def test_ranking_by_a_metric_without_calls_takes_the_rule_of_macro_f1(metric: RankingMetric) -> None:
    labels, probabilities = random_rows(0)
    rule = fit_decision_rule(metric, probabilities, labels)
    assert rule == fit_decision_rule("macro_f1", probabilities, labels)
    assert rule != DecisionRule()


@pytest.mark.parametrize("labels", [np.zeros(0, dtype=np.int64), np.ones(30, dtype=np.int64)])
def test_rows_that_cannot_tell_rules_apart_give_no_bias(labels: np.ndarray) -> None:
    probabilities = np.tile([0.1, 0.8, 0.1], (len(labels), 1))
    assert fit_decision_rule("macro_f1", probabilities, labels) == DecisionRule()


@pytest.mark.parametrize("metric", CALL_METRICS)
@given(seed=st.integers(0, 200), coarse=st.booleans())
def test_the_fitted_rule_is_the_best_of_trying_every_pair_of_biases(
    metric: RankingMetric, seed: int, coarse: bool
) -> None:
    labels, probabilities = random_rows(seed, 60)
    if coarse:  # with ties between classes
        probabilities = np.round(probabilities * 4 + 0.5) / 7

    def best(sell: np.ndarray, buy: np.ndarray) -> tuple[float, float, float]:
        scores = {}
        for pair in product(sell.tolist(), buy.tolist()):
            calls = (logits_of(probabilities) + np.array([pair[0], 0.0, pair[1]])).argmax(axis=1)
            scores[pair] = float(CALL_METRICS[metric](_counts(labels, calls))[0])
        pair = min(scores, key=lambda pair: (-round(scores[pair], 12), round(abs(pair[0]) + abs(pair[1]), 9)))
        return *pair, scores[pair]

    sell, buy, _ = best(np.arange(-8, 9) / 4, np.arange(-8, 9) / 4)
    sell, buy, expected = best(sell + np.arange(-4, 5) / 20, buy + np.arange(-4, 5) / 20)
    rule = fit_decision_rule(metric, probabilities, labels)
    assert CALL_METRICS[metric](_counts(labels, rule.calls(probabilities)))[0] >= expected - 1e-9 or coarse
    if not coarse:
        assert rule.bias == pytest.approx((sell, 0.0, buy), abs=1e-6)


def _drifting(count: int = 800) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits, labels and timestamps of two symbols' rows, with the logits of SELL shifted in the later half."""
    rng = np.random.default_rng(3)
    labels = rng.choice(3, count, p=[0.25, 0.5, 0.25])
    logits = rng.standard_normal((count, 3))
    logits[np.arange(count), labels] += 1.0
    timestamps = np.tile(np.arange(count // 2), 2)
    logits[timestamps >= count // 4, 0] += 2.0
    return logits, labels, timestamps


def test_each_half_of_the_time_is_decided_by_what_the_other_half_fitted() -> None:
    logits, labels, timestamps = _drifting()
    decisions = cross_fitted_decisions(logits, labels, timestamps, "macro_f1")
    early = timestamps <= np.median(timestamps)
    for half in (early, ~early):
        expected = decide(logits[half], *fit_decisions(logits[~half], labels[~half], "macro_f1"))
        np.testing.assert_array_equal(decisions.of(half).probabilities, expected.probabilities)
        assert decisions.of(half).calls.tolist() == expected.calls.tolist()
    # What the early half was fitted on does not know of the shift.
    assert (decisions.calls[~early] == 0).mean() > 2 * (decisions.calls[early] == 0).mean()


def test_no_rows_label_reaches_its_own_decision() -> None:
    logits, labels, timestamps = _drifting()
    early = timestamps <= np.median(timestamps)
    others = labels.copy()
    others[early] = (others[early] + 1) % 3
    first, second = (cross_fitted_decisions(logits, y, timestamps, "mcc") for y in (labels, others))
    np.testing.assert_array_equal(first.of(early).probabilities, second.of(early).probabilities)
    assert first.of(early).calls.tolist() == second.of(early).calls.tolist()
    assert first.of(~early).calls.tolist() != second.of(~early).calls.tolist()


@pytest.mark.parametrize("count", [1, 4])
def test_rows_of_one_instant_are_decided_by_themselves(count: int) -> None:
    logits, labels = np.zeros((count, 3)), np.arange(count) % 3
    decisions = cross_fitted_decisions(logits, labels, np.zeros(count), "macro_f1")
    np.testing.assert_array_equal(decisions.probabilities, fit_calibration(logits, labels).apply(logits))


def test_calls_do_not_follow_a_bias_of_the_logits() -> None:
    """What class weights, or a drifting bias of the last layer, do to the logits changes no call."""
    logits, labels, _ = _drifting()
    timestamps = np.arange(len(labels))
    plain = cross_fitted_decisions(logits, labels, timestamps, "macro_f1")
    biased = cross_fitted_decisions(logits + np.array([0.8, -0.6, 0.1]), labels, timestamps, "macro_f1")
    assert (plain.calls == biased.calls).mean() > 0.97
    assert isinstance(plain, Decisions)


def test_no_half_is_judged_by_its_own_calibration() -> None:
    # The logits agree with the labels in the first half and contradict them in the second.
    rng = np.random.default_rng(0)
    labels, times = rng.integers(0, 3, 2000), np.arange(2000)
    logits = np.where(times[:, None] < 1000, np.eye(3)[labels] * 4, -np.eye(3)[labels] * 4)
    in_sample = nll(fit_calibration(logits, labels).apply(logits), labels)
    decided = cross_fitted_decisions(logits, labels, times, "nll").probabilities
    assert nll(decided, labels) > in_sample + 0.5
    shuffled = rng.permutation(2000)
    again = cross_fitted_decisions(logits[shuffled], labels[shuffled], shuffled, "nll").probabilities
    assert nll(again, labels[shuffled]) == pytest.approx(nll(decided, labels))
