from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from core.config import RankingMetric
from core.evaluation.calibration import fit_calibration, logits_of, nll
from core.evaluation.confusion import CALL_METRICS
from core.evaluation.decision import (
    HALF_LIFE,
    DecisionRule,
    Decisions,
    cross_fitted_decisions,
    decide,
    fit_decision_rule,
    fit_decisions,
)
from tests.helpers.predictions import BAR, random_rows


def _counts(labels: np.ndarray, calls: np.ndarray) -> np.ndarray:
    return np.bincount(labels * 3 + calls, minlength=9).reshape(1, 3, 3)


def _bars(count: int) -> np.ndarray:
    return np.arange(count) * BAR


def test_classes_of_equal_mean_are_called_by_their_probability() -> None:
    _, probabilities = random_rows(0)
    assert DecisionRule().calls(probabilities, _bars(300)).tolist() == probabilities.argmax(axis=1).tolist()


@pytest.mark.parametrize(("tilt", "calls"), [(0.0, [1, 1]), (0.5, [0, 1]), (1.0, [0, 0])])
def test_the_tilt_says_how_far_a_probability_is_compared_with_its_mean(tilt: float, calls: list[int]) -> None:
    probabilities = np.array([[0.40, 0.45, 0.15], [0.27, 0.60, 0.13]])
    assert DecisionRule((0.25, 0.60, 0.15), tilt).calls(probabilities, np.array([0, 0])).tolist() == calls


@given(seed=st.integers(0, 100), symbols=st.integers(1, 3), since=st.none() | st.integers(-5, 40))
def test_the_mean_is_a_moving_one_over_the_instants(seed: int, symbols: int, since: int | None) -> None:
    """The calls are those of pandas' exponentially weighted mean of what all symbols had at an instant on average."""
    rng = np.random.default_rng(seed)
    bar, instants = HALF_LIFE // 20, np.sort(rng.choice(60, 40, replace=False))
    timestamps = rng.permutation(np.repeat(instants, symbols)) * bar
    probabilities = rng.dirichlet([1, 2, 1], len(timestamps))
    rule = DecisionRule((0.2, 0.5, 0.3), 1.0, bar, None if since is None else since * bar)
    later = timestamps if since is None else timestamps[timestamps > since * bar]
    by_instant = pd.DataFrame(probabilities).groupby(timestamps).mean().loc[np.unique(later)]
    started = pd.concat([pd.DataFrame([rule.mean], index=[-(10**12)]), by_instant])
    means = started.ewm(halflife=20, adjust=False).mean()
    place = np.searchsorted(means.index.to_numpy()[1:], timestamps, side="right")
    expected = (np.log(probabilities) - np.log(means.to_numpy()[place])).argmax(axis=1)
    assert rule.calls(probabilities, timestamps).tolist() == expected.tolist()
    assert rule.follow(probabilities, timestamps).mean == pytest.approx(means.to_numpy()[-1])


@given(seed=st.integers(0, 100), split=st.integers(0, 300))
def test_no_later_row_changes_a_call_and_the_rule_goes_on_where_it_was(seed: int, split: int) -> None:
    _, probabilities = random_rows(seed)
    timestamps = np.tile(_bars(150), 2)
    rule = DecisionRule((0.3, 0.4, 0.3), 0.9, BAR)
    whole = rule.calls(probabilities, timestamps)
    early = timestamps < split * BAR
    assert rule.calls(probabilities[early], timestamps[early]).tolist() == whole[early].tolist()
    later = rule.follow(probabilities[early], timestamps[early])
    assert later.calls(probabilities[~early], timestamps[~early]).tolist() == whole[~early].tolist()
    assert later.since is None if not early.any() else later.since == timestamps[early].max()
    assert later.follow(probabilities[early], timestamps[early]) == later
    if early.any():  # rows that it has already followed do not count again
        again = later.calls(probabilities, timestamps)
        assert again[~early].tolist() == whole[~early].tolist()


def test_a_rare_class_is_called_at_what_it_has_come_to_be() -> None:
    """Moves become twice as frequent after val; a rule that stood still would call SELL and BUY twice as often."""
    rng = np.random.default_rng(0)
    share = np.repeat([0.1, 0.2], [2000, 6000])[:, None]
    noise = np.exp(0.3 * rng.standard_normal((8000, 3)))
    probabilities = np.concatenate([share, 1 - 2 * share, share], axis=1) * noise
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    rule = DecisionRule((0.1, 0.8, 0.1), 1.0, HALF_LIFE // 500)
    calls = rule.calls(probabilities, np.arange(8000) * rule.bar)
    assert (calls[:2000] != 1).mean() == pytest.approx(0.66, abs=0.05)
    assert (calls[4000:] != 1).mean() == pytest.approx(0.66, abs=0.05)
    still = DecisionRule(rule.mean, rule.tilt, rule.bar, since=10**18)
    assert (still.calls(probabilities, np.arange(8000) * rule.bar)[4000:] != 1).mean() > 0.9


@pytest.mark.parametrize("metric", CALL_METRICS)
@given(seed=st.integers(0, 200))
def test_the_fitted_tilt_is_the_nearest_to_1_of_the_good_ones(metric: RankingMetric, seed: int) -> None:
    labels, probabilities = random_rows(seed, 60)
    rule = fit_decision_rule(probabilities, labels, _bars(60), BAR, metric)
    assert rule.mean == pytest.approx(tuple(probabilities.mean(axis=0)))
    assert (rule.bar, rule.since) == (BAR, 59 * BAR)
    scores = {}
    for tilt in np.arange(16) / 10:
        calls = (logits_of(probabilities) - tilt * np.log(rule.mean)).argmax(axis=1)
        scores[float(tilt)] = float(CALL_METRICS[metric](_counts(labels, calls))[0])
    good = [tilt for tilt, score in scores.items() if score >= max(scores.values()) - 0.005]
    assert abs(rule.tilt - 1) == pytest.approx(min(abs(tilt - 1) for tilt in good))
    assert rule.tilt in good


@pytest.mark.parametrize("share", [0.25, 0.1])
def test_balanced_accuracy_asks_for_the_odds_of_the_classes(share: float) -> None:
    """The best rule divides each probability by the class's share (the Bayes rule of equal priors)."""
    labels, probabilities = _skilled(share)
    rule = fit_decision_rule(probabilities, labels, _bars(len(labels)), BAR, "balanced_accuracy")
    assert rule.tilt == pytest.approx(1, abs=0.1)


def test_very_rare_classes_are_not_called_with_little_skill() -> None:
    """Calling each class a third of the time has a macro-F1 far below that of calling HOLD alone."""
    labels, probabilities = _skilled(0.01, skill=0.3)
    rule = fit_decision_rule(probabilities, labels, _bars(len(labels)), BAR, "macro_f1")
    assert rule.tilt < 0.9
    assert (rule.calls(probabilities, _bars(len(labels))) == 1).mean() > 0.9


def _skilled(share: float, skill: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, of which SELL and BUY have a share each, and the probabilities of a model that knows of them."""
    rng = np.random.default_rng(1)
    prior = [share, 1 - 2 * share, share]
    labels = rng.choice(3, 40_000, p=prior)
    likelihood = rng.standard_normal((40_000, 3))
    likelihood[np.arange(40_000), labels] += skill
    return labels, np.asarray(softmax(skill * likelihood + np.log(prior), axis=1))


@pytest.mark.parametrize("metric", ["auc", "direction_auc", "nll", "net_sharpe"])
def test_ranking_by_a_metric_without_calls_takes_the_rule_of_macro_f1(metric: RankingMetric) -> None:
    labels, probabilities = _skilled(0.1)
    rule, of_f1, of_recall = (
        fit_decision_rule(probabilities, labels, _bars(len(labels)), BAR, name)
        for name in (metric, "macro_f1", "balanced_accuracy")
    )
    assert rule == of_f1
    assert rule != of_recall


def test_no_row_gives_the_rule_of_equal_means() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    assert fit_decision_rule(np.zeros((0, 3)), nothing, nothing, BAR, "macro_f1") == DecisionRule(bar=BAR)
    assert len(DecisionRule().calls(np.zeros((0, 3)), nothing)) == 0
    assert DecisionRule().follow(np.zeros((0, 3)), nothing) == DecisionRule()


@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_model_that_never_changes_calls_one_class(label: int) -> None:
    labels, prior = np.full(400, label), np.full(3, 0.1)
    labels[::4], prior[label] = (label + 1) % 3, 0.8
    probabilities = np.tile(prior, (400, 1))
    rule = fit_decision_rule(probabilities, labels, _bars(400), BAR, "macro_f1")
    assert set(rule.calls(probabilities, _bars(400))) == {label}


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
    bar = HALF_LIFE // 20
    decisions = cross_fitted_decisions(logits, labels, timestamps, bar, "macro_f1")
    early = timestamps <= np.median(timestamps)
    for half in (early, ~early):
        calibration, rule = fit_decisions(logits[~half], labels[~half], timestamps[~half], bar, "macro_f1")
        expected = decide(logits[half], timestamps[half], calibration, replace(rule, since=None))
        np.testing.assert_array_equal(decisions.of(half).probabilities, expected.probabilities)
        assert decisions.of(half).calls.tolist() == expected.calls.tolist()
    # What the early half was fitted on does not know of the shift.
    assert (decisions.calls[~early] == 0).mean() > 2 * (decisions.calls[early] == 0).mean()


def test_no_rows_label_reaches_its_own_decision() -> None:
    logits, labels, timestamps = _drifting()
    early = timestamps <= np.median(timestamps)
    others = labels.copy()
    others[early] = (others[early] + 1) % 3
    first, second = (cross_fitted_decisions(logits, y, timestamps, 1, "mcc") for y in (labels, others))
    np.testing.assert_array_equal(first.of(early).probabilities, second.of(early).probabilities)
    assert first.of(early).calls.tolist() == second.of(early).calls.tolist()
    assert first.of(~early).calls.tolist() != second.of(~early).calls.tolist()


@pytest.mark.parametrize("count", [1, 4])
def test_rows_of_one_instant_are_decided_by_themselves(count: int) -> None:
    logits, labels = np.zeros((count, 3)), np.arange(count) % 3
    decisions = cross_fitted_decisions(logits, labels, np.zeros(count), 1, "macro_f1")
    np.testing.assert_array_equal(decisions.probabilities, fit_calibration(logits, labels).apply(logits))


def test_calls_do_not_follow_a_bias_of_the_logits() -> None:
    """What class weights, or a drifting bias of the last layer, do to the logits changes no call."""
    logits, labels, _ = _drifting()
    timestamps = np.arange(len(labels))
    plain = cross_fitted_decisions(logits, labels, timestamps, 1, "macro_f1")
    biased = cross_fitted_decisions(logits + np.array([0.8, -0.6, 0.1]), labels, timestamps, 1, "macro_f1")
    assert (plain.calls == biased.calls).mean() > 0.97
    assert isinstance(plain, Decisions)


def test_no_half_is_judged_by_its_own_calibration() -> None:
    # The logits agree with the labels in the first half and contradict them in the second.
    rng = np.random.default_rng(0)
    labels, times = rng.integers(0, 3, 2000), np.arange(2000)
    logits = np.where(times[:, None] < 1000, np.eye(3)[labels] * 4, -np.eye(3)[labels] * 4)
    in_sample = nll(fit_calibration(logits, labels).apply(logits), labels)
    decided = cross_fitted_decisions(logits, labels, times, 1, "nll").probabilities
    assert nll(decided, labels) > in_sample + 0.5
    shuffled = rng.permutation(2000)
    again = cross_fitted_decisions(logits[shuffled], labels[shuffled], shuffled, 1, "nll").probabilities
    assert nll(again, labels[shuffled]) == pytest.approx(nll(decided, labels))
