"""The verdict: which candidate wins, whether it may be called certified, which preset to use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import RankingMetric
from core.evaluation.metrics import COLLAPSE
from search.statistics.bootstrap import DRAWS, Interval, draws_of, interval, resample, resample_seeds
from search.statistics.weighted_metrics import Predictions, score

CERTAIN_SHARPE = 0.95


@dataclass(frozen=True)
class Gate:
    """A check that decides.

    Attributes:
        name: what is looked at.
        value: what was found.
        bound: what it must be, in words.
        passed: whether it is.
    """

    name: str
    value: Any
    bound: str
    passed: bool

    def as_row(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "name": self.name,
            "value": self.value,
            "bound": self.bound,
            "verdict": "pass" if self.passed else "fail",
        }


@dataclass(frozen=True)
class CandidateScore:
    """How a candidate stands on rows that it was not trained on.

    Attributes:
        figures: by metric, over all folds, the mean of the seeds.
        lead: by how much it is better than the incumbent in the ranking metric.
    """

    figures: dict[str, Interval]
    lead: Interval


@dataclass(frozen=True)
class FinalTestResult:
    """What was read on test.

    Attributes:
        macro_f1, direction_auc: the model's.
        lead: macro-F1 less that of the best baseline of each draw.
        best_baseline: the best of them on the rows themselves.
    """

    macro_f1: Interval
    direction_auc: Interval
    lead: Interval
    best_baseline: str


SHOWN: tuple[RankingMetric, ...] = ("macro_f1", "mcc", "direction_auc", "nll")


def score_candidates(
    candidates: Mapping[str, Sequence[Predictions]],
    incumbent: Sequence[Predictions],
    metric: RankingMetric,
    block: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> tuple[dict[str, CandidateScore], dict[str, Interval]]:
    """Every candidate on its out-of-fold rows, and the incumbent's figures; the same draws for all.

    Args:
        candidates: by name, predictions of each seed.
        incumbent: likewise.
        metric: by which candidates are ranked.
        block: instants a block.
        rng: where the draws come from.
        draws: how many.
    """
    instants = np.unique(np.concatenate([each.instants for by_seed in candidates.values() for each in by_seed]))
    weights = resample(len(instants), block, rng, draws)
    seeds = resample_seeds(len(incumbent), rng, draws)
    shown: list[RankingMetric] = list(dict.fromkeys((metric, *SHOWN)))

    def drawn(by_seed: Sequence[Predictions]) -> dict[str, np.ndarray]:
        return {name: draws_of(name, by_seed, instants, weights, seeds) for name in shown}

    reference = drawn(incumbent)
    found = {}
    for name, by_seed in candidates.items():
        own = drawn(by_seed)
        figures = {key: interval(values) for key, values in own.items()}
        found[name] = CandidateScore(figures, interval(own[metric] - reference[metric]))
    return found, {key: interval(values) for key, values in reference.items()}


def best_candidate(found: Mapping[str, CandidateScore], metric: RankingMetric) -> str:
    """The candidate with the best lower bound; without one, with the best figure."""

    def rank(name: str) -> tuple[float, float]:
        figure = found[name].figures[metric]
        return tuple(value if math.isfinite(value) else -math.inf for value in (figure.low, figure.value))  # type: ignore[return-value]

    return max(found, key=rank)


def read_test(
    model: Predictions,
    baselines: Mapping[str, Predictions],
    block: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> FinalTestResult:
    """Intervals of the headline figures, the same draws for model and baselines.

    Args:
        model: predictions of the test rows.
        baselines: by name, of the same rows.
        block: instants a block.
        rng: where the draws come from.
        draws: how many.
    """
    instants = np.unique(model.instants)
    weights = resample(len(instants), block, rng, draws)
    own = score("macro_f1", model, instants, weights)
    others = {name: score("macro_f1", each, instants, weights) for name, each in baselines.items()}
    return FinalTestResult(
        macro_f1=interval(own),
        direction_auc=interval(score("direction_auc", model, instants, weights)),
        lead=interval(own - np.max(list(others.values()), axis=0)),
        best_baseline=max(others, key=lambda name: float(others[name][0])),
    )


def certification_gates(
    reading: FinalTestResult, *, finite: bool, to_the_end: bool, top_share: float, earlier: int
) -> list[Gate]:
    """All that a certified preset must pass.

    Args:
        reading: what was read on test.
        finite: whether every training's figures were.
        to_the_end: whether every training ran all its epochs.
        top_share: share of the class called most, where that is most, on the rows held out of a training.
        earlier: readings of this test span by earlier confirmations.
    """
    lead, auc = reading.lead.low, reading.direction_auc.low
    return [
        Gate("all figures finite", finite, "yes", finite),
        Gate("trained to the end", to_the_end, "yes", to_the_end),
        Gate("largest share of one class", top_share, f"<= {COLLAPSE}", top_share <= COLLAPSE),
        Gate("earlier readings of this test span", earlier, "none", earlier == 0),
        Gate(
            f"macro-F1 on test less that of the best baseline ({reading.best_baseline}), lower bound",
            lead, "> 0", lead > 0,
        ),
        Gate("direction AUC on test less 0.5, lower bound", auc - 0.5, "> 0", auc > 0.5),
    ]  # fmt: skip
