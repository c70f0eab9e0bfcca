"""What a race among the candidates of a confirmation lets through: recommendations and certificates without skill.

`python -m benchmarks.race [CAMPAIGNS]` simulates campaigns, 200 by default, whose candidates are as good as the
incumbent, or of different quality. All know the volatility, some trainings better than others by luck, and none the
direction. Compared are a fixed plan (3 candidates, 3 seeds, 5 folds) and the race that `confirm` runs by default, with
and without the allowance for the candidates that it dropped. Predictions are made up, nothing is trained.
`python -m benchmarks.race picks` compares how good the candidates are that the two choose.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from benchmarks.certification import METRIC, MIN_BLOCK
from benchmarks.simulated_market import (
    BAR,
    DAY,
    Market,
    autocorrelated,
    baselines_of,
    forecast,
    make_market,
    split_and_call,
    volatility_regimes,
)
from core.evaluation.block_bootstrap import confidence_interval
from search.confirmation.race import CellKey, Race, RaceRules, run_race
from search.results.predictions import INCUMBENT
from search.statistics import (
    Predictions,
    certification_gates,
    certification_status,
    resample,
    resample_seeds,
    score_draws,
    score_final_test,
    simultaneous_intervals,
    unweighted_score,
)

CAMPAIGNS = 200
FOLDS, FOLD_DAYS, VAL_DAYS, TEST_DAYS = 5, 8, 7, 30
DRAWS = 200
SPLITS = tuple(f"fold {fold}" for fold in range(FOLDS, 0, -1))
PLANS = {
    "fixed plan": RaceRules((1, 2, 3), (1, 2, 3), SPLITS, 60),
    "race": RaceRules(tuple(range(1, 9)), (1, 2, 3), SPLITS, 54),
}
"""Both with 61 trainings at most, the final one and, in the race, those of the neighbours included."""

CASES = {
    "as good as the incumbent, little noise": (0.15, 0.0),
    "as good as the incumbent, much noise": (0.45, 0.0),
    "of different quality, little noise": (0.15, 0.1),
}
"""Noise and spread of the candidates, see `Confirmation`."""


@dataclass
class Confirmation:
    """A simulated confirmation, whose trainings are made when they are asked for.

    Attributes:
        seed: seed of the market; each training has random numbers of its own.
        noise: how much the trainings of one candidate differ, in terms of their blur.
        spread: how much candidates differ; 0 if all are as good as the incumbent.
    """

    seed: int
    noise: float = 0.15
    spread: float = 0.0

    @cached_property
    def market(self) -> Market:
        """The market, the folds first, then val and test."""
        rng = np.random.default_rng([self.seed, 0])
        bars = (FOLDS * FOLD_DAYS + VAL_DAYS + TEST_DAYS) * DAY
        return make_market(bars, rng, 0.0, volatility_regimes(bars, rng))

    def blur(self, number: int) -> float:
        """Return how far a candidate's volatility is off on average; the incumbent's is 0.5."""
        if number == INCUMBENT:
            return 0.5
        return 0.5 - self.spread * float(np.random.default_rng([self.seed, 1, number]).standard_normal())

    def predict(self, cell: CellKey, first: int, count: int) -> np.ndarray:
        """Return the probabilities `[count, 3]` of a training for the bars from `first` on."""
        rng = np.random.default_rng([self.seed, 2, cell.number + 1, cell.seed, *cell.split.encode()])
        blur = abs(self.blur(cell.number) + self.noise * rng.standard_normal())
        volatility = self.market.volatility[first : first + count] * np.exp(blur * autocorrelated(count, rng))
        return forecast(autocorrelated(count, rng), 0.35, volatility)

    def fold(self, cell: CellKey) -> Predictions:
        """Return the out-of-fold predictions of a training."""
        number, length = int(cell.split.removeprefix("fold ")) - 1, FOLD_DAYS * DAY
        rows = np.arange(number * length, (number + 1) * length)
        probabilities = self.predict(cell, int(rows[0]), length)
        labels, folds = self.market.labels[rows], np.full(length, number)
        return Predictions(rows * BAR, labels, probabilities, bar=BAR, folds=folds)

    def certificate(self, number: int) -> str:
        """Return what may be claimed of a candidate after the one reading of test."""
        first, val = FOLDS * FOLD_DAYS * DAY, VAL_DAYS * DAY
        labels = self.market.labels[first:]
        rng = np.random.default_rng([self.seed, 3])
        model = split_and_call(labels, self.predict(CellKey(number, 1, "test"), first, len(labels)), val)
        result = score_final_test(model, baselines_of(labels, val, rng), METRIC, MIN_BLOCK, rng, DRAWS)
        return certification_status(certification_gates(result, METRIC, top_share=0.5, earlier_readings=0))


@dataclass(frozen=True)
class Outcome:
    """The outcome of a simulated confirmation.

    Attributes:
        recommended: whether the winner was recommended over the incumbent.
        unallowed: whether it would be, were the dropped candidates not allowed for.
        status: what may be claimed of the winner.
        trainings: number of trainings, without the final one.
        edge: how much less the winner's volatility is off than the incumbent's, on average over its trainings.
    """

    recommended: bool
    unallowed: bool
    status: str
    trainings: int
    edge: float


def confirm(confirmation: Confirmation, plan: RaceRules, is_race: bool = True) -> Outcome:
    """Run a race, or train all candidates on all cells if it is none; choose the winner, and read test."""
    predictions: dict[CellKey, Predictions] = {}
    scores: dict[CellKey, float | None] = {}
    while (race := run_race(plan, scores)).missing:
        for cell in race.missing:
            predictions[cell] = confirmation.fold(cell)
            scores[cell] = unweighted_score(METRIC, predictions[cell]) if is_race else math.nan
    draws, blocks = _draws(confirmation, race, predictions)
    figures = [confidence_interval(of_one, blocks).low for of_one in draws[:-1]]
    best = int(np.argmax(figures))
    leads = [simultaneous_intervals(draws[:-1] - draws[-1], blocks, dropped) for dropped in (len(race.dropped), 0)]
    recommended, unallowed = (of_all[best].low > 0 for of_all in leads)
    winner = race.finishers[best]
    edge = confirmation.blur(INCUMBENT) - confirmation.blur(winner)
    return Outcome(recommended, unallowed, confirmation.certificate(winner), len(race.cells), edge)


def _draws(
    confirmation: Confirmation, race: Race, predictions: Mapping[CellKey, Predictions]
) -> tuple[np.ndarray, float]:
    """Return the score of each finisher and of the incumbent in each draw, `[K + 1, 1 + D]`, and the number of blocks.

    Blocks are as short as a confirmation may draw them: the memory of these markets is shorter.
    """
    rng = np.random.default_rng([confirmation.seed, 4])
    seed_weights = resample_seeds(len(race.seeds), rng, DRAWS)
    resampling = resample(FOLDS * FOLD_DAYS * DAY, MIN_BLOCK, rng, DRAWS)
    instants = np.arange(FOLDS * FOLD_DAYS * DAY) * BAR
    rows = []
    for number in (*race.finishers, INCUMBENT):
        by_seed = [
            _joined([predictions[CellKey(number, seed, f"fold {fold}")] for fold in range(1, FOLDS + 1)])
            for seed in race.seeds
        ]
        rows.append(score_draws(METRIC, by_seed, instants, resampling.weights, seed_weights))
    return np.stack(rows), resampling.blocks


def _joined(folds: list[Predictions]) -> Predictions:
    names = ("instants", "labels", "probabilities", "calls", "folds")
    return Predictions(**{name: np.concatenate([getattr(one, name) for one in folds]) for name in names}, bar=BAR)


def main(campaigns: int = CAMPAIGNS) -> None:
    """Print a row for each kind of candidates and each plan.

    Args:
        campaigns: number of campaigns a row.
    """
    print(f"{campaigns} campaigns a row, {FOLDS} folds of {FOLD_DAYS} days, test of {TEST_DAYS} days")
    print("| candidates | plan | recommended | without allowance | certified | trainings | edge |")
    print("|---|---|---|---|---|---|---|")
    for kind, settings in CASES.items():
        for name, plan in PLANS.items():
            outcomes = [confirm(Confirmation(seed, *settings), plan, name == "race") for seed in range(campaigns)]
            shares = [
                float(np.mean([one.recommended for one in outcomes])),
                float(np.mean([one.unallowed for one in outcomes])),
                float(np.mean([one.status == "certified" for one in outcomes])),
            ]
            text = " | ".join(f"{share:.1%}".replace("%", " %") for share in shares)
            trainings, edge = (np.mean([getattr(one, key) for one in outcomes]) for key in ("trainings", "edge"))
            print(f"| {kind} | {name} | {text} | {trainings:.1f} | {edge:.3f} |", flush=True)


def pick_quality(stages: Sequence[tuple[int, int]], search_noise: float, rng: np.random.Generator) -> float:
    """Return the true quality of the pick, in standard deviations of the quality of all trials, a mean of 20,000.

    A training's noise has 2.5 times the spread of the 64 trials, as on five-minute bars.

    Args:
        stages: number of cells at the end of each stage, and number of candidates kept there; the first is at 0 cells.
        search_noise: noise of the score that the search ranks trials by, in the same unit.
        rng: source of qualities and noise.
    """
    quality = rng.standard_normal((20_000, 64))
    order = np.argsort(-(quality + search_noise * rng.standard_normal(quality.shape)), axis=1)
    quality = np.take_along_axis(quality, order, axis=1)[:, : stages[0][1]]
    scores = quality[:, :, None] + 2.5 * rng.standard_normal((*quality.shape, stages[-1][0]))
    in_race = np.ones(quality.shape, dtype=bool)
    for cells, kept in stages[1:]:
        means = np.where(in_race, scores[:, :, :cells].mean(axis=2), -np.inf)
        in_race[:] = False
        np.put_along_axis(in_race, np.argsort(-means, axis=1)[:, :kept], True, axis=1)
    return float(quality[in_race].mean())


def compare_picks() -> None:
    """Print the quality of the pick by a fixed plan and by a race, after searches with little and much noise."""
    print("| noise of the search | 3 candidates, 15 cells | race of 8 |")
    print("|---|---|---|")
    for noise in (1.0, 3.3):
        rng = np.random.default_rng(0)
        plans = [(0, 3), (15, 1)], [(0, 8), (3, 4), (5, 2), (10, 1)]
        print(f"| {noise} | {' | '.join(f'{pick_quality(stages, noise, rng):.2f}' for stages in plans)} |")


if __name__ == "__main__":
    if sys.argv[1:] == ["picks"]:
        compare_picks()
    else:
        main(*map(int, sys.argv[1:]))
