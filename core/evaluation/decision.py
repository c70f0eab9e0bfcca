"""Decision rule: which class to call, given calibrated probabilities.

The most probable class is the best call for accuracy alone. Macro-F1, Matthews' correlation and balanced accuracy ask
for rarer classes to be called at lower probabilities, and how rare they are changes with the volatility of the market.
So each probability is compared with its own mean, which follows the market bar by bar. How much the mean counts, the
tilt, is fitted on val.

Every call in this project is made by such a rule: those that metrics judge, of models and baselines alike, those that a
backtest follows, and those that `predict` shows. Rows that no rule was fitted for beforehand, such as those of val
itself, are cross-fitted: each half of their time is called by the rule of the other half.

Shapes: N rows; 3 classes (SELL, HOLD, BUY).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from core.config import RankingMetric
from core.data.labels import CLASSES
from core.evaluation.blocks import split_halves
from core.evaluation.calibration import Calibration, fit_calibration, logits_of
from core.evaluation.confusion import CALL_METRICS

HALF_LIFE = 15 * 86_400_000_000
"""Half-life of the mean, in microseconds: a bar this long ago counts half as much as the present one."""
_TILTS = np.arange(16) / 10
_TOLERANCE = 0.005
"""Of the tilts whose metric on val falls short of the best by no more than this, the one nearest 1 is taken."""
_CLASSES = len(CLASSES)


@dataclass(frozen=True)
class DecisionRule:
    """Calls the class whose probability is highest in relation to its mean over the past.

    That is the class with the largest log(probability) - tilt * log(mean). The mean is an exponentially weighted one
    over the instants after `since`, up to and including that of the call; it starts from the mean of the rows that the
    rule was fitted on.

    Attributes:
        mean: mean probability of SELL, HOLD, BUY that the rule starts from.
        tilt: 0 calls the most probable class; 1 calls the class that stands out most, however rare it is.
        bar: length of a bar in microseconds.
        since: instant of the last row that the mean was taken of, in microseconds since 1970; rows up to it are called
            with the mean as it is. None if every row comes after.
    """

    mean: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    tilt: float = 1.0
    bar: int = 1
    since: int | None = None

    def calls(self, probabilities: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
        """Return the called class of each row, int `[N]`.

        Args:
            probabilities: calibrated probabilities, `[N, 3]`.
            timestamps: when the bar of each row opens, in microseconds since 1970 and any order, `[N]`.
        """
        means, place = self._means(probabilities, timestamps)
        return _calls(probabilities, means[place], self.tilt)

    def follow(self, probabilities: np.ndarray, timestamps: np.ndarray) -> DecisionRule:
        """Return the rule as it stands after these rows; arguments as those of `calls`."""
        if len(timestamps) == 0:
            return self
        sell, hold, buy = map(float, self._means(probabilities, timestamps)[0][-1])
        last = int(timestamps.max())
        return replace(self, mean=(sell, hold, buy), since=last if self.since is None else max(last, self.since))

    def _means(self, probabilities: np.ndarray, timestamps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean at each distinct instant, `[K, 3]`, and the index of each row's instant, int `[N]`.

        A gap between two instants counts as one bar: what was not seen does not wear away what was.
        """
        instants, place = np.unique(timestamps, return_inverse=True)
        rows = np.bincount(place)
        is_later = np.ones(len(instants), dtype=bool) if self.since is None else instants > self.since
        weight = is_later * (1 - 0.5 ** (self.bar / HALF_LIFE))
        means = np.empty((len(instants), _CLASSES))
        for k, start in enumerate(self.mean):
            here = np.bincount(place, probabilities[:, k]) / rows
            steps = zip(here.tolist(), weight.tolist(), strict=True)
            path = accumulate(steps, lambda mean, step: mean + step[1] * (step[0] - mean), initial=start)
            means[:, k] = list(path)[1:]
        return means, place


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


def decide(logits: np.ndarray, timestamps: np.ndarray, calibration: Calibration, rule: DecisionRule) -> Decisions:
    """Apply a calibration and a decision rule that were fitted on other rows.

    Args:
        logits: raw logits of the three classes, `[N, 3]`.
        timestamps: when the bar of each row opens, in microseconds since 1970 and any order, `[N]`.
        calibration: makes the logits probabilities.
        rule: makes the calls.
    """
    probabilities = calibration.apply(logits)
    return Decisions(probabilities, rule.calls(probabilities, timestamps))


def cross_fitted_decisions(
    logits: np.ndarray, labels: np.ndarray, timestamps: np.ndarray, bar: int, metric: RankingMetric
) -> Decisions:
    """Decide on each half of the time with the calibration and the decision rule that the other half is best with.

    Where the rows cannot be halved in time, both are fitted on the rows themselves.

    Args:
        logits: raw logits of the three classes, `[N, 3]`. If something in them was fitted on these rows, `[2, N, 3]`:
            first those that the later half has fitted, which the earlier one is judged with, then the other way round.
        labels: true classes, `[N]`.
        timestamps: when the bar of each row opens, in microseconds since 1970 and any order, `[N]`.
        bar: length of a bar in microseconds.
        metric: the ranking metric, which the rule is fitted for; see `fit_decision_rule`.
    """
    everything = np.ones(len(labels), dtype=bool)
    halves = split_halves(timestamps) or [everything]
    decisions = Decisions(np.zeros((len(labels), _CLASSES)), np.zeros(len(labels), dtype=np.int64))
    by_half = np.broadcast_to(logits, (2, *logits.shape[-2:]))
    for of_half, half in zip(by_half, halves, strict=False):
        other = ~half if len(halves) == 2 else half
        calibration, rule = fit_decisions(of_half[other], labels[other], timestamps[other], bar, metric)
        # Each half is followed as later rows would be, that before the other one, too.
        decided = decide(of_half[half], timestamps[half], calibration, replace(rule, since=None))
        decisions.probabilities[half], decisions.calls[half] = decided
    return decisions


def fit_decisions(
    logits: np.ndarray, labels: np.ndarray, timestamps: np.ndarray, bar: int, metric: RankingMetric
) -> tuple[Calibration, DecisionRule]:
    """Fit the calibration, and then the decision rule; the arguments are those of `cross_fitted_decisions`."""
    calibration = fit_calibration(logits, labels)
    return calibration, fit_decision_rule(calibration.apply(logits), labels, timestamps, bar, metric)


def fit_decision_rule(
    probabilities: np.ndarray, labels: np.ndarray, timestamps: np.ndarray, bar: int, metric: RankingMetric
) -> DecisionRule:
    """Find the rule for the rows after these.

    Args:
        probabilities: calibrated probabilities, `[N, 3]`.
        labels: true classes, `[N]`.
        timestamps: when the bar of each row opens, in microseconds since 1970 and any order, `[N]`.
        bar: length of a bar in microseconds.
        metric: the ranking metric; where calls do not enter it, as in AUC, the rule is the best one for macro-F1.

    Returns:
        the rule that starts from the mean of these rows, with the tilt nearest 1 of those whose calls have, within
        0.005, the best metric on these rows.
    """
    if len(labels) == 0:
        return DecisionRule(bar=bar)
    sell, hold, buy = map(float, probabilities.mean(axis=0))
    means = np.array([[sell, hold, buy]])
    counts = [_confusion(labels, _calls(probabilities, means, tilt)) for tilt in _TILTS]
    scores = np.nan_to_num(CALL_METRICS[rule_metric(metric)](np.stack(counts)), nan=-np.inf)
    good = _TILTS[scores >= scores.max() - _TOLERANCE]
    tilt = float(good[np.argmin(np.abs(good - 1))])
    return DecisionRule((sell, hold, buy), tilt, bar, int(timestamps.max()))


def rule_metric(metric: RankingMetric) -> str:
    """Return the metric that a decision rule is fitted for: the ranking metric, or macro_f1 if no call enters it."""
    return metric if metric in CALL_METRICS else "macro_f1"


def _calls(probabilities: np.ndarray, means: np.ndarray, tilt: float) -> np.ndarray:
    """Return the called classes, int `[N]`, of probabilities `[N, 3]` with means `[N, 3]` or `[1, 3]`."""
    return np.asarray((logits_of(probabilities) - tilt * logits_of(means)).argmax(axis=1))


def _confusion(labels: np.ndarray, calls: np.ndarray) -> np.ndarray:
    """Count the rows by label and call, float64 `[3, 3]`."""
    counts = np.bincount(labels * _CLASSES + calls, minlength=_CLASSES**2).reshape(_CLASSES, _CLASSES)
    return counts.astype(np.float64)
