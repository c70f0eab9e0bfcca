"""How often luck is certified, how well intervals cover, and how much skill is found, in simulated campaigns.

`python -m benchmarks.certification [CAMPAIGNS [DAYS…]]` simulates campaigns, 200 by default, for each market and each
length of the test span in days. Predictions are made up, nothing is trained.
"""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.metrics import matthews_corrcoef

from benchmarks.simulated_market import (
    BAR,
    DAY,
    HORIZON,
    NULLS,
    TRANSIENT_SKILL,
    Case,
    baselines_of,
    skilled,
    split_and_call,
)
from core.config import RankingMetric
from core.evaluation.block_bootstrap import Interval, minimum_block_length
from search.statistics.certification import certification_gates, certification_status, score_final_test

METRIC: RankingMetric = "auc"
"""What campaigns rank trials by unless asked otherwise; the lead of the verdict is in this metric."""
CAMPAIGNS = 200
SPANS = (17, 30, 60, 200)
"""Lengths of the test span, in days."""
SIGNALS = (0.44, 0.27, 0.19)
"""Correlations of returns and drift that make a Bayes MCC of about .25, .15 and .10."""
MIN_BLOCK = minimum_block_length(HORIZON, BAR)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a simulated campaign.

    Attributes:
        status: what may be claimed of the model.
        passes_lead: whether the gate on the lead over the baselines is passed.
        passes_direction: whether the gate on the direction AUC is passed.
        mcc: MCC of the model's calls.
        too_short: whether a deciding figure has no interval.
        macro_f1: macro-F1 of the most probable classes.
        direction_auc: direction AUC of the model.
    """

    status: str
    passes_lead: bool
    passes_direction: bool
    mcc: float
    too_short: bool
    macro_f1: Interval
    direction_auc: Interval


def simulate(seed: int, case: Case, days: int, draws: int = 300) -> Outcome:
    """Simulate a campaign: val of a quarter of the test span for the decision rules, then the one reading of test.

    Args:
        seed: seed of the market.
        case: the market and the model.
        days: length of the test span.
        draws: number of bootstrap draws.
    """
    rng = np.random.default_rng([seed, days, *case.name.encode()])
    val = max(days // 4, 5) * DAY
    market, probabilities = case.predict(val + days * DAY, rng)
    model = split_and_call(market.labels, probabilities, val)
    baselines = baselines_of(market.labels, val, rng)
    result = score_final_test(model, baselines, METRIC, MIN_BLOCK, rng, draws)
    gates = certification_gates(result, METRIC, top_share=0.5, earlier_readings=0)
    return Outcome(
        status=certification_status(gates),
        passes_lead=gates[-2].verdict == "pass",
        passes_direction=gates[-1].verdict == "pass",
        mcc=float(matthews_corrcoef(model.labels, model.calls)),
        too_short=any(gate.passed is None for gate in gates),
        macro_f1=result.macro_f1,
        direction_auc=result.direction_auc,
    )


def simulate_many(campaigns: int, case: Case, days: int, draws: int = 300) -> list[Outcome]:
    """Simulate campaigns on two processes."""
    run = partial(simulate, case=case, days=days, draws=draws)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(run, range(campaigns), chunksize=10))


def coverage(intervals: list[Interval], truth: float) -> float:
    """Return the share of the intervals with bounds that contain the truth; NaN where none has bounds."""
    judged = [interval for interval in intervals if np.isfinite(interval.low)]
    return float(np.mean([interval.contains(truth) for interval in judged])) if judged else float("nan")


def _row(case: Case, days: int, outcomes: list[Outcome], direction_auc: float) -> str:
    """Return a row of the table, with shares in per cent."""
    mean_f1 = float(np.mean([outcome.macro_f1.value for outcome in outcomes]))
    shares = [
        float(np.mean([one.status == "certified" for one in outcomes])),
        float(np.mean([one.passes_lead for one in outcomes])),
        float(np.mean([one.passes_direction for one in outcomes])),
        float(np.mean([one.too_short for one in outcomes])),
        coverage([one.direction_auc for one in outcomes], direction_auc),
        coverage([one.macro_f1 for one in outcomes], mean_f1),
    ]
    cells = ["-" if np.isnan(share) else f"{share:.1%}".replace("%", " %") for share in shares]
    return f"| {case.name} | {days} | {np.mean([one.mcc for one in outcomes]):.3f} | {' | '.join(cells)} |"


def main(campaigns: int = CAMPAIGNS, *spans: int) -> None:
    """Print a row for each market and each length of the test span.

    Args:
        campaigns: number of campaigns a row.
        spans: lengths of the test span, in days; by default `SPANS`.
    """
    print(f"{campaigns} campaigns a row, bars of 15 minutes, a label looks {HORIZON} bars ahead")
    print("| model | days | MCC | certified | lead passes | direction passes | too short | AUC covered | F1 covered |")
    print("|---|---|---|---|---|---|---|---|---|")
    for days in spans or SPANS:
        for case in (*NULLS, TRANSIENT_SKILL):
            print(_row(case, days, simulate_many(campaigns, case, days), 0.5), flush=True)
        for signal in SIGNALS:
            outcomes = simulate_many(campaigns, skilled(signal), days)
            mean_auc = float(np.mean([outcome.direction_auc.value for outcome in outcomes]))
            print(_row(skilled(signal), days, outcomes, mean_auc), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
