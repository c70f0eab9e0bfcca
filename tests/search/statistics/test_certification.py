from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from search.statistics.bootstrap import Interval, block_length
from search.statistics.certification import (
    CandidateScore,
    FinalTestResult,
    best_candidate,
    certification_gates,
    score_candidates,
    score_final_test,
)
from tests.helpers.predictions import (
    BAR,
    HORIZON,
    autocorrelated,
    baseline_predictions,
    drift_forecast,
    one_symbol_predictions,
    random_predictions,
    simulate_market,
)

pytestmark = pytest.mark.costly

BLOCK = block_length(HORIZON, BAR)
PASSING = {"all_finite": True, "all_epochs_run": True, "top_share": 0.5, "earlier_readings": 0}


def _result(lead: float = 0.1, auc: float = 0.6) -> FinalTestResult:
    def interval_from(low: float) -> Interval:
        return Interval(low + 0.05, low, low + 0.1)

    return FinalTestResult(interval_from(0.4), interval_from(auc), interval_from(lead), "persistence")


def test_a_model_without_a_flaw_passes_all_gates() -> None:
    assert all(gate.passed for gate in certification_gates(_result(), **PASSING))


@pytest.mark.parametrize(
    ("result", "flaw", "name"),
    [
        (_result(), {"all_finite": False}, "finite"),
        (_result(), {"all_epochs_run": False}, "to the end"),
        (_result(), {"top_share": 0.91}, "largest share of one class"),
        (_result(), {"earlier_readings": 1}, "earlier readings"),
        (_result(lead=0.0), {}, "best baseline (persistence)"),
        (_result(lead=float("nan")), {}, "best baseline (persistence)"),
        (_result(auc=0.5), {}, "direction AUC"),
        (_result(auc=float("nan")), {}, "direction AUC"),
    ],
)
def test_each_flaw_fails_its_own_gate_alone(result: FinalTestResult, flaw: dict[str, object], name: str) -> None:
    failed = [gate for gate in certification_gates(result, **{**PASSING, **flaw}) if not gate.passed]  # type: ignore[arg-type]
    assert len(failed) == 1
    assert name in failed[0].name
    assert failed[0].as_row()["verdict"] == "fail"


def test_the_lead_is_over_the_best_baseline_of_each_draw() -> None:
    rng = np.random.default_rng(0)
    drift, _, labels = simulate_market(1500, rng, 0.35, volatile=False)
    model, baselines = one_symbol_predictions(labels, drift_forecast(drift, 0.35)), baseline_predictions(labels, rng)
    result = score_final_test(model, baselines, BLOCK, np.random.default_rng(1), draws=200)
    leads = {
        name: score_final_test(model, {name: baseline}, BLOCK, np.random.default_rng(1), draws=200).lead
        for name, baseline in baselines.items()
    }
    assert result.best_baseline == min(leads, key=lambda name: leads[name].value)
    assert result.lead.value == leads[result.best_baseline].value
    assert result.lead.low <= min(lead.low for lead in leads.values())


def test_candidates_and_incumbent_are_compared_on_the_same_draws() -> None:
    by_seed = [random_predictions(500, skill=1.0, seed=seed) for seed in range(3)]
    weak = [random_predictions(500, skill=0.2, seed=seed) for seed in range(3)]
    scores, incumbent = score_candidates(
        {"equal": by_seed, "weak": weak}, by_seed, "macro_f1", 10, np.random.default_rng(0), draws=200
    )
    assert scores["equal"].lead == Interval(0.0, 0.0, 0.0)
    assert scores["equal"].figures == incumbent
    assert scores["weak"].lead.high < 0
    assert best_candidate(scores, "macro_f1") == "equal"
    assert set(incumbent) == {"macro_f1", "mcc", "direction_auc", "nll"}


def test_the_winner_has_the_best_lower_bound_not_the_best_figure() -> None:
    def candidate(value: float, low: float) -> CandidateScore:
        return CandidateScore({"macro_f1": Interval(value, low, 1.0)}, Interval(0, 0, 0))

    assert best_candidate({"lucky": candidate(0.6, 0.3), "steady": candidate(0.5, 0.4)}, "macro_f1") == "steady"
    unknown = float("nan")
    assert best_candidate({"a": candidate(0.5, unknown), "b": candidate(0.6, unknown)}, "macro_f1") == "b"
    assert best_candidate({"a": candidate(unknown, unknown), "b": candidate(0.1, unknown)}, "macro_f1") == "b"


@dataclass(frozen=True)
class SimulatedCampaign:
    """The outcome of a simulated campaign, or the mean over several.

    Attributes:
        certified: whether all gates are passed.
        passes_lead: whether the gate on the lead over the baselines is passed.
        passes_direction: whether the gate on the direction AUC is passed.
        mcc: MCC of the model.
    """

    certified: float
    passes_lead: float
    passes_direction: float
    mcc: float


def simulate_campaign(seed: int, signal: float, volatile: bool, block: int = BLOCK) -> SimulatedCampaign:
    """Simulate a campaign on a market of 3,000 test rows.

    Without a signal the model forecasts an unrelated drift with the market's autocorrelation. It knows the volatility.
    """
    rng = np.random.default_rng([seed, int(volatile), int(signal * 100)])
    drift, volatility, labels = simulate_market(3000, rng, signal, volatile)
    forecast, strength = (drift, signal) if signal else (autocorrelated(3000, rng), 0.35)
    threshold = 0.674 / volatility if volatile else np.full(3000, 0.674)
    probabilities = drift_forecast(forecast, strength, -threshold, threshold)
    model, baselines = one_symbol_predictions(labels, probabilities), baseline_predictions(labels, rng)
    result = score_final_test(model, baselines, block, rng, draws=300)
    passed = [gate.passed for gate in certification_gates(result, **PASSING)]  # type: ignore[arg-type]
    mcc = float(matthews_corrcoef(labels, probabilities.argmax(axis=1)))
    return SimulatedCampaign(all(passed), passed[-2], passed[-1], mcc)


def simulate_many(campaigns: int, signal: float, volatile: bool, block: int = BLOCK) -> SimulatedCampaign:
    """Simulate campaigns; return the shares of them that pass, and their mean MCC."""
    run = partial(simulate_campaign, signal=signal, volatile=volatile, block=block)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        outcomes = list(pool.map(run, range(campaigns), chunksize=50))
    return SimulatedCampaign(*np.mean([astuple(outcome) for outcome in outcomes], axis=0).tolist())


@pytest.mark.timeout(600)
def test_of_2000_campaigns_without_skill_few_are_certified() -> None:
    shares = simulate_many(2000, 0.0, volatile=False)
    assert shares.certified <= 0.06
    assert 0 < shares.passes_direction <= 0.06  # the gate on direction alone keeps its level
    assert abs(shares.mcc) < 0.01


@pytest.mark.timeout(600)
def test_of_2000_campaigns_with_skill_at_volatility_alone_few_are_certified() -> None:
    shares = simulate_many(2000, 0.0, volatile=True)
    assert shares.certified <= 0.06
    assert shares.mcc > 0.15
    assert shares.passes_lead > 0.5  # it beats every baseline, by volatility: only the gate on direction holds it back
    assert 0 < shares.passes_direction <= 0.06


def test_resampling_row_by_row_would_pass_luck_for_direction() -> None:
    assert simulate_many(200, 0.0, volatile=False, block=1).passes_direction > 0.06


def test_of_campaigns_with_skill_nearly_all_are_certified() -> None:
    shares = simulate_many(300, 0.44, volatile=False)
    assert shares.mcc == pytest.approx(0.25, abs=0.02)
    assert shares.certified >= 0.95
