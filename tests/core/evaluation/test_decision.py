from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef

from core.config import RankingMetric
from core.evaluation.decision import CALL_METRICS, DecisionRule, fit_decision_rule
from tests.helpers.predictions import random_rows

REFERENCES = {
    "macro_f1": lambda labels, calls: f1_score(labels, calls, average="macro", labels=[0, 1, 2], zero_division=0),
    "mcc": matthews_corrcoef,
    "balanced_accuracy": balanced_accuracy_score,
}


def _counts(labels: np.ndarray, calls: np.ndarray) -> np.ndarray:
    return np.bincount(labels * 3 + calls, minlength=9).reshape(1, 3, 3)


@pytest.mark.parametrize("metric", CALL_METRICS)
@given(seed=st.integers(0, 100), count=st.integers(20, 200))
def test_metrics_of_counts_are_those_of_scikit_learn(metric: RankingMetric, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 3, count), [0, 1, 2])
    calls = np.append(rng.integers(0, 3, count), [0, 1, 2])
    expected = REFERENCES[metric](labels, calls)
    assert CALL_METRICS[metric](_counts(labels, calls))[0] == pytest.approx(expected)


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
def test_metrics_without_calls_have_no_bias(metric: RankingMetric) -> None:
    labels, probabilities = random_rows(0)
    assert fit_decision_rule(metric, probabilities, labels) == DecisionRule()


@pytest.mark.parametrize("labels", [np.zeros(0, dtype=np.int64), np.ones(30, dtype=np.int64)])
def test_rows_that_cannot_tell_rules_apart_give_no_bias(labels: np.ndarray) -> None:
    probabilities = np.tile([0.1, 0.8, 0.1], (len(labels), 1))
    assert fit_decision_rule("macro_f1", probabilities, labels) == DecisionRule()
