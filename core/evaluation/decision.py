"""Decision rule: which class to call, given calibrated probabilities.

The most probable class is the best call for accuracy alone. Macro-F1, Matthews' correlation and balanced accuracy ask
for rarer classes to be called at lower probabilities. One bias per class, fitted on val, moves these thresholds.

Every call in this project is made by such a rule: those that metrics judge, of models and baselines alike, those that a
backtest follows, and those that `predict` shows. Rows that no rule was fitted for beforehand, such as those of val
itself, are cross-fitted: each half of their time is called by the rule of the other half.

Shapes: N rows, S and B candidate biases of SELL and BUY; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from core.config import RankingMetric
from core.data.labels import BUY, CLASSES, HOLD, SELL
from core.evaluation.blocks import split_halves
from core.evaluation.calibration import Calibration, fit_calibration, logits_of
from core.evaluation.confusion import CALL_METRICS

_STEP, _FINE_STEP = 0.25, 0.05
_COARSE = np.arange(-8, 9) * _STEP
_FINE = np.arange(-4, 5) * _FINE_STEP
_CLASSES = len(CLASSES)


@dataclass(frozen=True)
class DecisionRule:
    """Calls the class with the largest log-probability plus bias.

    Attributes:
        bias: added to the log-probabilities of SELL, HOLD, BUY; that of HOLD is 0.
    """

    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def calls(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the called class of each row, int `[N]`.

        Args:
            probabilities: calibrated probabilities, `[N, 3]`.
        """
        return np.asarray((logits_of(probabilities) + np.array(self.bias)).argmax(axis=1))


class Decisions(NamedTuple):
    """Holds what a model says of some rows once its output is calibrated and its decision rule applied.

    Attributes:
        probabilities: calibrated probabilities of SELL, HOLD, BUY, float64 `[N, 3]`.
        calls: the called class of each row, int `[N]`.
    """

    probabilities: np.ndarray
    calls: np.ndarray

    def of(self, rows: np.ndarray) -> Decisions:
        """Return the decisions of some of the rows, given as indices or as a mask."""
        return Decisions(self.probabilities[rows], self.calls[rows])


def decide(logits: np.ndarray, calibration: Calibration, rule: DecisionRule) -> Decisions:
    """Apply a calibration and a decision rule that were fitted on other rows to logits `[N, 3]`."""
    probabilities = calibration.apply(logits)
    return Decisions(probabilities, rule.calls(probabilities))


def cross_fitted_decisions(
    logits: np.ndarray, labels: np.ndarray, timestamps: np.ndarray, metric: RankingMetric
) -> Decisions:
    """Decide on each half of the time with the calibration and the decision rule that the other half is best with.

    Where the rows cannot be halved in time, both are fitted on the rows themselves.

    Args:
        logits: raw logits of the three classes, `[N, 3]`.
        labels: true classes, `[N]`.
        timestamps: instants of the rows in any unit, `[N]`.
        metric: the ranking metric, which the rule is fitted for; see `fit_decision_rule`.
    """
    everything = np.ones(len(labels), dtype=bool)
    halves = split_halves(timestamps) or [everything]
    decisions = Decisions(np.zeros((len(labels), _CLASSES)), np.zeros(len(labels), dtype=np.int64))
    for half in halves:
        other = ~half if len(halves) == 2 else half
        calibration, rule = fit_decisions(logits[other], labels[other], metric)
        decided = decide(logits[half], calibration, rule)
        decisions.probabilities[half], decisions.calls[half] = decided
    return decisions


def fit_decisions(logits: np.ndarray, labels: np.ndarray, metric: RankingMetric) -> tuple[Calibration, DecisionRule]:
    """Fit the calibration, and the decision rule on the calibrated probabilities, to logits `[N, 3]` and labels `[N]`.

    Args:
        logits: raw logits of the three classes, `[N, 3]`.
        labels: true classes, `[N]`.
        metric: the ranking metric, which the rule is fitted for; see `fit_decision_rule`.
    """
    calibration = fit_calibration(logits, labels)
    return calibration, fit_decision_rule(metric, calibration.apply(logits), labels)


def fit_decision_rule(metric: RankingMetric, probabilities: np.ndarray, labels: np.ndarray) -> DecisionRule:
    """Find the rule whose calls have the best metric on these rows.

    Args:
        metric: the ranking metric; where calls do not enter it, as in AUC, the rule is the best one for macro-F1.
        probabilities: calibrated probabilities, `[N, 3]`.
        labels: true classes, `[N]`.

    Returns:
        the best rule of a grid of biases for SELL and BUY, refined around its best place; of equally good rules, the
        one whose biases are smallest.
    """
    if len(labels) == 0:
        return DecisionRule()
    name = rule_metric(metric)
    log_p = logits_of(probabilities)
    sell, buy = _best_bias(name, log_p, labels, _COARSE, _COARSE)
    sell, buy = _best_bias(name, log_p, labels, sell + _FINE, buy + _FINE)
    return DecisionRule((round(sell, 6), 0.0, round(buy, 6)))


def rule_metric(metric: RankingMetric) -> str:
    """Return the metric that a decision rule is fitted for: the ranking metric, or macro_f1 if no call enters it."""
    return metric if metric in CALL_METRICS else "macro_f1"


def _best_bias(
    metric: str, log_p: np.ndarray, labels: np.ndarray, sell: np.ndarray, buy: np.ndarray
) -> tuple[float, float]:
    """Return the biases for SELL and BUY, out of two lists of equal steps, whose calls have the best metric."""
    counts = _confusion_by_bias(log_p, labels, sell, buy)
    scores = np.nan_to_num(CALL_METRICS[metric](counts.reshape(-1, _CLASSES, _CLASSES)), nan=-np.inf)
    size = np.round(np.abs(sell)[:, None] + np.abs(buy)[None, :], 9)  # sums that differ by rounding alone are equal
    best = np.lexsort([size.ravel(), -scores])[0]
    return float(sell[best // len(buy)]), float(buy[best % len(buy)])


def _confusion_by_bias(log_p: np.ndarray, labels: np.ndarray, sell: np.ndarray, buy: np.ndarray) -> np.ndarray:
    """Count the rows by label and call for every pair of biases, `[S, B, 3, 3]`, reading each row only once.

    SELL is called where its bias makes up both for HOLD's lead and, together with BUY's bias, for BUY's lead; so a
    table of the rows by these two leads, summed up along both, answers all pairs. BUY is counted alike.

    Args:
        log_p: logarithms of the probabilities, `[N, 3]`.
        labels: true classes, `[N]`.
        sell: candidate biases of SELL, rising in equal steps, `[S]`.
        buy: candidate biases of BUY, rising in the same steps, `[B]`.
    """
    differences = np.append(sell[0] - buy[::-1], sell[1:] - buy[0])  # sell[i] - buy[j] stands at i - j + B - 1
    of_pair = np.arange(len(sell))[:, None] - np.arange(len(buy))[None, :] + len(buy) - 1
    # The first candidate with which the class is called rather than the other one; ties go to the earlier class.
    sell_over_hold = np.searchsorted(sell, log_p[:, HOLD] - log_p[:, SELL], side="left")
    buy_over_hold = np.searchsorted(buy, log_p[:, HOLD] - log_p[:, BUY], side="right")
    sell_over_buy = np.searchsorted(differences, log_p[:, BUY] - log_p[:, SELL], side="left")

    def below(first: np.ndarray, last: int) -> np.ndarray:
        """Count by label, candidate and difference the rows whose `first` and `sell_over_buy` are no larger."""
        shape = (_CLASSES, last + 1, len(differences) + 1)
        index = np.ravel_multi_index((labels.astype(np.int64), first, sell_over_buy), shape)
        return np.bincount(index, minlength=int(np.prod(shape))).reshape(shape).cumsum(1).cumsum(2)

    of_sell, of_buy = below(sell_over_hold, len(sell)), below(buy_over_hold, len(buy))
    rows, columns = np.arange(len(sell))[:, None], np.arange(len(buy))[None, :]
    counts = np.zeros((len(sell), len(buy), _CLASSES, _CLASSES))
    for label in range(_CLASSES):
        counts[:, :, label, SELL] = of_sell[label][rows, of_pair]
        counts[:, :, label, BUY] = of_buy[label][columns, -1] - of_buy[label][columns, of_pair]
        total = np.count_nonzero(labels == label)
        counts[:, :, label, HOLD] = total - counts[:, :, label, SELL] - counts[:, :, label, BUY]
    return counts
