"""Chooses the winner of a confirmation, and decides whether it may be called certified."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from core.config import RankingMetric
from core.evaluation.block_bootstrap import DRAWS, MIN_BLOCKS, Interval, confidence_interval
from core.evaluation.metrics import MAX_TOP_SHARE
from search.statistics.block_length import BlockLengthSelector
from search.statistics.bootstrap import (
    Resampling,
    resample,
    resample_seeds,
    score_draws,
    simultaneous_intervals,
)
from search.statistics.weighted_metrics import Predictions, score, unweighted_score

REPORTED_METRICS: tuple[RankingMetric, ...] = ("macro_f1", "mcc", "direction_auc", "nll")
"""Metrics computed for every candidate, beside the campaign's own."""
LEAD = "lead"
"""Key of the lead among the lengths of blocks, beside the metrics' names."""
TOO_SHORT: Literal["too short to tell"] = "too short to tell"
GateVerdict = Literal["pass", "fail", "too short to tell"]


@dataclass(frozen=True)
class Gate:
    """A check that a preset must pass to be certified.

    Attributes:
        name: what the gate checks.
        value: the value that was measured; None if the data are too short to tell.
        bound: the condition on the value, in words.
        passed: whether the value meets the condition; None if the data are too short to tell.
    """

    name: str
    value: Any
    bound: str
    passed: bool | None

    @property
    def verdict(self) -> GateVerdict:
        """Whether the gate is passed, in words."""
        return TOO_SHORT if self.passed is None else "pass" if self.passed else "fail"

    def as_row(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {"name": self.name, "value": self.value, "bound": self.bound, "verdict": self.verdict}


@dataclass(frozen=True)
class CandidateScore:
    """The figures of a candidate on rows that it was not trained on.

    Attributes:
        figures: each metric over all folds, averaged over the seeds.
        lead: the candidate's ranking metric less that of the incumbent, on the same draws; its interval holds for all
            candidates at once.
        lead_by_fold: the lead in each fold alone, in the order of time, averaged over the seeds.
    """

    figures: dict[str, Interval]
    lead: Interval
    lead_by_fold: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """The figures of all candidates and of the incumbent.

    Attributes:
        candidates: by name, the figures of a candidate.
        incumbent: the incumbent's figures by metric.
        blocks: by metric, and for the lead, the length of the blocks of time in bars.
    """

    candidates: dict[str, CandidateScore]
    incumbent: dict[str, Interval]
    blocks: dict[str, int]


@dataclass(frozen=True)
class FinalTestResult:
    """The figures of the final model on the test rows.

    Attributes:
        macro_f1: macro-F1 of the model, its calls made by its decision rule.
        direction_auc: direction AUC of the model.
        score: ranking metric of the model, its calls made by its decision rule.
        lead: that score less the best baseline's of each draw, the baselines' calls made by their own rules.
        best_baseline: name of the gating baseline (see `search.confirmation.certify`) with the highest score on the
            rows themselves.
        block: length of the blocks of time in bars: the longest that one of the figures needs.
    """

    macro_f1: Interval
    direction_auc: Interval
    score: Interval
    lead: Interval
    best_baseline: str
    block: int


def score_candidates(
    candidates: Mapping[str, Sequence[Predictions]],
    incumbent: Sequence[Predictions],
    metric: RankingMetric,
    min_block: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
    dropped: int = 0,
) -> Comparison:
    """Score every candidate and the incumbent on their out-of-fold rows.

    Each metric, and the lead over the incumbent, has blocks of its own length; all candidates have the same draws.

    Args:
        candidates: by candidate's name, the predictions of each seed.
        incumbent: the incumbent's predictions of each seed.
        metric: metric by which candidates are ranked.
        min_block: the fewest bars of a block, from `minimum_block_length`.
        rng: source of the draws.
        draws: number of bootstrap draws behind each interval.
        dropped: number of other candidates that were dropped because they were behind these; leads allow for them.
    """
    everyone = {**candidates, "": incumbent}
    instants = np.unique(incumbent[0].instants)
    selector = BlockLengthSelector(instants, incumbent[0].bar, min_block)
    seed_weights = resample_seeds(len(incumbent), rng, draws)
    figures: dict[str, dict[str, Interval]] = {name: {} for name in everyone}
    blocks: dict[str, int] = {}
    for name in dict.fromkeys((metric, *REPORTED_METRICS)):
        influences = [selector.of_metric(name, by_seed) for by_seed in everyone.values()]
        blocks[name] = selector.block_length(influences)
        resampling = resample(len(instants), blocks[name], rng, draws)
        for key, by_seed in everyone.items():
            values = score_draws(name, by_seed, instants, resampling.weights, seed_weights)
            figures[key][name] = confidence_interval(values, resampling.blocks)
        if name == metric:
            blocks[LEAD] = selector.block_length([of_one - influences[-1] for of_one in influences[:-1]])
    resampling = resample(len(instants), blocks[LEAD], rng, draws)
    leads = _score_leads(candidates, incumbent, metric, resampling, seed_weights, dropped)
    by_fold = {name: _lead_by_fold(metric, by_seed, incumbent) for name, by_seed in candidates.items()}
    scored = {name: CandidateScore(figures[name], leads[name], by_fold[name]) for name in candidates}
    return Comparison(scored, figures[""], blocks)


def _score_leads(
    candidates: Mapping[str, Sequence[Predictions]],
    incumbent: Sequence[Predictions],
    metric: RankingMetric,
    resampling: Resampling,
    seed_weights: np.ndarray,
    dropped: int,
) -> dict[str, Interval]:
    """Return the lead of each candidate over the incumbent, with intervals that hold for all of them at once."""
    instants = np.unique(incumbent[0].instants)
    everyone = np.stack(
        [
            score_draws(metric, by_seed, instants, resampling.weights, seed_weights)
            for by_seed in (*candidates.values(), incumbent)
        ]
    )
    intervals = simultaneous_intervals(everyone[:-1] - everyone[-1], resampling.blocks, dropped)
    return dict(zip(candidates, intervals, strict=True))


def _lead_by_fold(
    metric: RankingMetric, candidate: Sequence[Predictions], incumbent: Sequence[Predictions]
) -> tuple[float, ...]:
    """Return the lead of a candidate over the incumbent in each fold, averaged over the seeds."""
    folds = np.unique(np.concatenate([predictions.folds for predictions in candidate]))

    def mean_score(by_seed: Sequence[Predictions], fold: int) -> float:
        parts = [predictions.where(predictions.folds == fold) for predictions in by_seed]
        return float(np.mean([unweighted_score(metric, part) for part in parts]))

    return tuple(mean_score(candidate, fold) - mean_score(incumbent, fold) for fold in folds)


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
    metric: RankingMetric,
    min_block: int,
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> FinalTestResult:
    """Compute the figures on test with their intervals, all on the same draws.

    The blocks are as long as the figure with the longest memory asks for: what one figure shows of the market's state
    concerns the others, too, though their own noise may hide it.

    Args:
        model: the model's predictions of the test rows, its calls made by its decision rule.
        baselines: by baseline's name, its predictions of the same rows, its calls made by its own rule.
        metric: the ranking metric of the campaign.
        min_block: the fewest bars of a block, from `minimum_block_length`.
        rng: source of the draws.
        draws: number of bootstrap draws behind each interval.
    """
    instants = np.unique(model.instants)
    selector = BlockLengthSelector(instants, model.bar, min_block)
    figures: tuple[RankingMetric, ...] = ("macro_f1", "direction_auc")
    best = max(baselines, key=lambda name: unweighted_score(metric, baselines[name]))
    model_influence = selector.of_metric(metric, [model])
    lead_influence = model_influence - selector.of_metric(metric, [baselines[best]])
    of_figures = [selector.of_metric(name, [model]) for name in figures]
    resampling = resample(
        len(instants), selector.block_length([model_influence, lead_influence, *of_figures]), rng, draws
    )

    def draws_of(name: RankingMetric, predictions: Predictions) -> np.ndarray:
        return score(name, predictions, instants, resampling.weights)

    model_draws = draws_of(metric, model)
    baseline_draws = np.max([draws_of(metric, baseline) for baseline in baselines.values()], axis=0)
    intervals = {name: confidence_interval(draws_of(name, model), resampling.blocks) for name in figures}
    return FinalTestResult(
        macro_f1=intervals["macro_f1"],
        direction_auc=intervals["direction_auc"],
        score=confidence_interval(model_draws, resampling.blocks),
        lead=confidence_interval(model_draws - baseline_draws, resampling.blocks),
        best_baseline=best,
        block=resampling.block,
    )


def certification_gates(
    result: FinalTestResult, metric: RankingMetric, *, top_share: float, earlier_readings: int
) -> list[Gate]:
    """Evaluate the gates, all of which a certified preset must pass.

    Trainings that fail or give figures that are not finite need no gate: without them there is no verdict on test.

    Args:
        result: the figures on test.
        metric: the ranking metric of the campaign.
        top_share: the largest share of calls that a training made for one class, on its held-out rows.
        earlier_readings: how many earlier searches, confirmations and verifications read some of this test span.
    """
    return [
        Gate("largest share of one class", top_share, f"<= {MAX_TOP_SHARE}", top_share <= MAX_TOP_SHARE),
        Gate("earlier readings of this test span", earlier_readings, "none", earlier_readings == 0),
        _bound_gate(f"{metric} on test less that of the best baseline ({result.best_baseline})", result.lead, 0.0),
        _bound_gate("direction AUC on test less 0.5", result.direction_auc, 0.5),
    ]


def _bound_gate(name: str, interval: Interval, threshold: float) -> Gate:
    """Return the gate that the lower bound of a figure lies above a threshold."""
    name = f"{name}, lower bound"
    if math.isfinite(interval.value) and not math.isfinite(interval.low):
        return Gate(name, None, f"> 0, of at least {MIN_BLOCKS} blocks of time", None)
    return Gate(name, interval.low - threshold, "> 0", interval.low > threshold)


def certification_status(gates: Sequence[Gate]) -> Literal["certified", "not certified", "too short to tell"]:
    """Return what all gates together allow to claim: too short to tell if only that keeps the preset from a claim."""
    verdicts = {gate.verdict for gate in gates}
    if "fail" in verdicts:
        return "not certified"
    return TOO_SHORT if TOO_SHORT in verdicts else "certified"
