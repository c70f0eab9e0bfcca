"""Chooses the winner of a confirmation, and decides whether it may be called certified."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.config import RankingMetric
from core.evaluation.metrics import MAX_TOP_SHARE
from search.statistics.bootstrap import (
    DRAWS,
    Interval,
    confidence_interval,
    resample,
    resample_seeds,
    score_draws,
)
from search.statistics.weighted_metrics import Predictions, score

CERTAIN_SHARPE = 0.95
"""A Deflated Sharpe Ratio above this counts as tradable."""
REPORTED_METRICS: tuple[RankingMetric, ...] = ("macro_f1", "mcc", "direction_auc", "nll")
"""Metrics computed for every candidate, beside the campaign's own."""


@dataclass(frozen=True)
class Gate:
    """A check that a preset must pass to be certified.

    Attributes:
        name: what the gate checks.
        value: the value that was measured.
        bound: the condition on the value, in words.
        passed: whether the value meets the condition.
    """

    name: str
    value: Any
    bound: str
    passed: bool

    def as_row(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "name": self.name,
            "value": self.value,
            "bound": self.bound,
            "verdict": "pass" if self.passed else "fail",
        }


@dataclass(frozen=True)
class CandidateScore:
    """The figures of a candidate on rows that it was not trained on.

    Attributes:
        figures: each metric over all folds, averaged over the seeds.
        lead: the candidate's ranking metric less that of the incumbent, on the same draws.
    """

    figures: dict[str, Interval]
    lead: Interval


@dataclass(frozen=True)
class FinalTestResult:
    """The figures of the final model on the test rows.

    Attributes:
        macro_f1: macro-F1 of the model.
        direction_auc: direction AUC of the model.
        lead: macro-F1 of the model less that of the best baseline of each draw.
        best_baseline: name of the gating baseline (see `search.confirmation.certify`) with the highest macro-F1 on the
            rows themselves.
    """

    macro_f1: Interval
    direction_auc: Interval
    lead: Interval
    best_baseline: str


def score_candidates(
    candidates: Mapping[str, Sequence[Predictions]],
    incumbent: Sequence[Predictions],
    metric: RankingMetric,
    block: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> tuple[dict[str, CandidateScore], dict[str, Interval]]:
    """Score every candidate and the incumbent on their out-of-fold rows, all on the same draws.

    Args:
        candidates: by candidate's name, the predictions of each seed.
        incumbent: the incumbent's predictions of each seed.
        metric: metric by which candidates are ranked.
        block: length of a block of the bootstrap, in instants.
        rng: source of the draws.
        draws: number of bootstrap draws behind each interval.

    Returns:
        The candidates' scores by name, and the incumbent's figures by metric.
    """
    instants = np.unique(
        np.concatenate([predictions.instants for by_seed in candidates.values() for predictions in by_seed])
    )
    weights = resample(len(instants), block, rng, draws)
    seed_weights = resample_seeds(len(incumbent), rng, draws)
    metrics: list[RankingMetric] = list(dict.fromkeys((metric, *REPORTED_METRICS)))

    def draw_metrics(by_seed: Sequence[Predictions]) -> dict[str, np.ndarray]:
        return {name: score_draws(name, by_seed, instants, weights, seed_weights) for name in metrics}

    incumbent_draws = draw_metrics(incumbent)
    scores = {}
    for name, by_seed in candidates.items():
        candidate_draws = draw_metrics(by_seed)
        figures = {key: confidence_interval(values) for key, values in candidate_draws.items()}
        lead = confidence_interval(candidate_draws[metric] - incumbent_draws[metric])
        scores[name] = CandidateScore(figures, lead)
    return scores, {key: confidence_interval(values) for key, values in incumbent_draws.items()}


def best_candidate(scores: Mapping[str, CandidateScore], metric: RankingMetric) -> str:
    """Return the name of the candidate with the best lower bound; where there are no bounds, with the best figure."""

    def rank(name: str) -> tuple[float, float]:
        figure = scores[name].figures[metric]
        low, value = (bound if math.isfinite(bound) else -math.inf for bound in (figure.low, figure.value))
        return low, value

    return max(scores, key=rank)


def score_final_test(
    model: Predictions,
    baselines: Mapping[str, Predictions],
    block: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> FinalTestResult:
    """Compute the headline figures on test with their intervals, on the same draws for model and baselines.

    Args:
        model: the model's predictions of the test rows.
        baselines: by baseline's name, its predictions of the same rows.
        block: length of a block of the bootstrap, in instants.
        rng: source of the draws.
        draws: number of bootstrap draws behind each interval.
    """
    instants = np.unique(model.instants)
    weights = resample(len(instants), block, rng, draws)
    model_draws = score("macro_f1", model, instants, weights)
    baseline_draws = {
        name: score("macro_f1", predictions, instants, weights) for name, predictions in baselines.items()
    }
    return FinalTestResult(
        macro_f1=confidence_interval(model_draws),
        direction_auc=confidence_interval(score("direction_auc", model, instants, weights)),
        lead=confidence_interval(model_draws - np.max(list(baseline_draws.values()), axis=0)),
        best_baseline=max(baseline_draws, key=lambda name: float(baseline_draws[name][0])),
    )


def certification_gates(
    result: FinalTestResult, *, all_finite: bool, all_epochs_run: bool, top_share: float, earlier_readings: int
) -> list[Gate]:
    """Evaluate the gates, all of which a certified preset must pass.

    Args:
        result: the figures on test.
        all_finite: whether the figures of every training are finite.
        all_epochs_run: whether every training ran all its epochs.
        top_share: the largest share of calls that a training made for one class, on its held-out rows.
        earlier_readings: how many earlier searches, confirmations and verifications read some of this test span.
    """
    lead, auc = result.lead.low, result.direction_auc.low
    return [
        Gate("all figures finite", all_finite, "yes", all_finite),
        Gate("trained to the end", all_epochs_run, "yes", all_epochs_run),
        Gate("largest share of one class", top_share, f"<= {MAX_TOP_SHARE}", top_share <= MAX_TOP_SHARE),
        Gate("earlier readings of this test span", earlier_readings, "none", earlier_readings == 0),
        Gate(
            f"macro-F1 on test less that of the best baseline ({result.best_baseline}), lower bound",
            lead, "> 0", lead > 0,
        ),
        Gate("direction AUC on test less 0.5, lower bound", auc - 0.5, "> 0", auc > 0.5),
    ]  # fmt: skip
