from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from benchmarks.certification import MIN_BLOCK, coverage, simulate_many
from benchmarks.simulated_market import (
    BAR,
    DAY,
    NULLS,
    Case,
    baselines_of,
    forecast,
    make_market,
    skilled,
    slow,
    split_and_call,
)
from core.evaluation.block_bootstrap import Interval
from search.statistics.certification import (
    CandidateScore,
    FinalTestResult,
    best_candidate,
    certification_gates,
    certification_status,
    score_candidates,
    score_final_test,
)
from search.statistics.weighted_metrics import Predictions
from tests.helpers.predictions import random_predictions

pytestmark = pytest.mark.costly

NAN = float("nan")


def _result(lead: float = 0.1, auc: float = 0.6) -> FinalTestResult:
    def interval_from(low: float) -> Interval:
        return Interval(0.5, low, 0.9)

    return FinalTestResult(
        interval_from(0.4), interval_from(auc), interval_from(0.4), interval_from(lead), "persistence", 96
    )


def test_a_model_without_a_flaw_passes_all_gates() -> None:
    gates = certification_gates(_result(), "mcc", top_share=0.5, earlier_readings=0)
    assert all(gate.passed for gate in gates)
    assert certification_status(gates) == "certified"


@pytest.mark.parametrize(
    ("result", "top_share", "earlier", "name", "status"),
    [
        (_result(), 0.91, 0, "largest share of one class", "not certified"),
        (_result(), 0.5, 1, "earlier readings", "not certified"),
        (_result(lead=0.0), 0.5, 0, "mcc on test less that of the best baseline (persistence)", "not certified"),
        (_result(lead=NAN), 0.5, 0, "mcc on test less that of the best baseline (persistence)", "too short to tell"),
        (_result(auc=0.5), 0.5, 0, "direction AUC", "not certified"),
        (_result(auc=NAN), 0.5, 0, "direction AUC", "too short to tell"),
    ],
)
def test_each_flaw_fails_its_own_gate_alone(
    result: FinalTestResult, top_share: float, earlier: int, name: str, status: str
) -> None:
    gates = certification_gates(result, "mcc", top_share=top_share, earlier_readings=earlier)
    failed = [gate for gate in gates if not gate.passed]
    assert len(failed) == 1
    assert name in failed[0].name
    assert failed[0].as_row()["verdict"] == ("fail" if status == "not certified" else status)
    assert certification_status(gates) == status


def test_an_undefined_figure_fails_and_is_not_called_too_short() -> None:
    undefined = FinalTestResult(*[Interval(NAN, NAN, NAN)] * 4, "persistence", 96)
    gates = certification_gates(undefined, "mcc", top_share=0.5, earlier_readings=0)
    assert [gate.verdict for gate in gates] == ["pass", "pass", "fail", "fail"]


def test_what_is_failed_for_sure_is_not_called_too_short() -> None:
    gates = certification_gates(_result(lead=NAN), "mcc", top_share=0.95, earlier_readings=0)
    assert certification_status(gates) == "not certified"


def test_the_lead_is_over_the_best_baseline_of_each_draw() -> None:
    rng = np.random.default_rng(0)
    val = 10 * DAY
    market = make_market(val + 30 * DAY, rng, 0.35)
    model = split_and_call(market.labels, forecast(market.drift, 0.35), val)
    baselines = baselines_of(market.labels, val, rng)
    result = score_final_test(model, baselines, "macro_f1", MIN_BLOCK, np.random.default_rng(1), draws=200)
    leads = {
        name: score_final_test(model, {name: baseline}, "macro_f1", MIN_BLOCK, np.random.default_rng(1), 200).lead
        for name, baseline in baselines.items()
    }
    assert result.best_baseline == min(leads, key=lambda name: leads[name].value)
    assert result.lead.value == leads[result.best_baseline].value
    assert result.lead.low <= min(lead.low for lead in leads.values())


def test_the_lead_is_in_the_ranking_metric_and_of_the_calls_of_the_rules() -> None:
    model = random_predictions(40 * DAY, symbols=1, skill=1.0)
    wrong = model.with_calls((model.labels + 1) % 3)
    baselines = {"persistence": random_predictions(40 * DAY, symbols=1, seed=1)}
    ruled = score_final_test(wrong, baselines, "mcc", 96, np.random.default_rng(0), draws=50)
    assert ruled.score.value < -0.4
    assert ruled.macro_f1.value < 0.3
    by_auc = score_final_test(wrong, baselines, "auc", 96, np.random.default_rng(0), draws=50)
    assert by_auc.score.value > 0.7


def _with_folds(model: Predictions, folds: int = 5) -> Predictions:
    numbers = np.searchsorted(np.quantile(model.instants, np.arange(1, folds) / folds), model.instants)
    return Predictions(model.instants, model.labels, model.probabilities, model.losses, bar=model.bar, folds=numbers)


def test_candidates_and_incumbent_are_compared_on_the_same_draws() -> None:
    by_seed = [_with_folds(random_predictions(500, skill=1.0, seed=seed)) for seed in range(3)]
    weak = [_with_folds(random_predictions(500, skill=0.2, seed=seed)) for seed in range(3)]
    comparison = score_candidates(
        {"equal": by_seed, "weak": weak}, by_seed, "macro_f1", 10, np.random.default_rng(0), draws=200
    )
    scores = comparison.candidates
    assert scores["equal"].lead == Interval(0.0, 0.0, 0.0)
    assert scores["equal"].figures == comparison.incumbent
    assert scores["equal"].lead_by_fold == (0.0,) * 5
    assert scores["weak"].lead.high < 0
    assert max(scores["weak"].lead_by_fold) < 0
    assert best_candidate(scores, "macro_f1") == "equal"
    assert set(comparison.incumbent) == {"macro_f1", "mcc", "direction_auc", "nll"}
    assert set(comparison.blocks) == {"macro_f1", "mcc", "direction_auc", "nll", "lead"}


def test_leads_over_the_incumbent_allow_for_choosing_the_best() -> None:
    incumbent = [random_predictions(600, seed=99)]
    others = {str(seed): [random_predictions(600, seed=seed)] for seed in range(10)}
    together = score_candidates(others, incumbent, "mcc", 10, np.random.default_rng(0), draws=400).candidates
    for name, candidate in others.items():
        alone = score_candidates({name: candidate}, incumbent, "mcc", 10, np.random.default_rng(0), draws=400)
        lead, of_many = alone.candidates[name].lead, together[name].lead
        assert of_many.value == lead.value
        assert of_many.high - of_many.low > 1.15 * (lead.high - lead.low)


def _with_memory(days: int, seed: int) -> Predictions:
    """Predictions whose skill at every metric comes and goes for days."""
    rng = np.random.default_rng(seed)
    count = days * DAY
    labels, skill = rng.integers(0, 3, count), 1 + slow(count, rng, days=1.5)
    logits = rng.standard_normal((count, 3))
    logits[np.arange(count), labels] += skill
    probabilities = softmax(logits, axis=1)
    losses = -np.log(probabilities[np.arange(count), labels])
    return Predictions(np.arange(count) * BAR, labels, probabilities, losses, bar=BAR)


@pytest.mark.parametrize("side", ["model", "baseline"])
def test_on_test_blocks_are_as_long_as_the_longest_memory_of_a_figure(side: str) -> None:
    lasting, steady = _with_memory(120, 0), random_predictions(120 * DAY, symbols=1, seed=1, bar=BAR)
    model, baseline = (lasting, steady) if side == "model" else (steady, lasting)
    result = score_final_test(model, {"b": baseline}, "mcc", MIN_BLOCK, np.random.default_rng(0), draws=50)
    assert result.block > 2 * MIN_BLOCK
    quiet = random_predictions(120 * DAY, symbols=1, seed=2, bar=BAR)
    result = score_final_test(steady, {"b": quiet}, "mcc", MIN_BLOCK, np.random.default_rng(0), draws=50)
    assert result.block < 1.5 * MIN_BLOCK


def test_a_memory_of_the_direction_alone_asks_for_long_blocks_as_well() -> None:
    lasting, steady = _with_memory(120, 0), random_predictions(120 * DAY, symbols=1, seed=1, bar=BAR)
    same_calls = lasting.with_calls(steady.calls)
    result = score_final_test(same_calls, {"b": same_calls}, "mcc", MIN_BLOCK, np.random.default_rng(0), draws=50)
    assert result.block > 2 * MIN_BLOCK


def test_out_of_fold_each_figure_gets_blocks_as_long_as_its_memory() -> None:
    incumbent = [random_predictions(120 * DAY, symbols=1, seed=seed, bar=BAR) for seed in (1, 2)]
    candidates = {"a": [_with_memory(120, 0), _with_memory(120, 0)]}
    blocks = score_candidates(candidates, incumbent, "mcc", MIN_BLOCK, np.random.default_rng(0), draws=50).blocks
    assert min(blocks.values()) > 2 * MIN_BLOCK
    # The incumbent's memory counts as well.
    turned = score_candidates({"a": incumbent}, candidates["a"], "mcc", MIN_BLOCK, np.random.default_rng(0), draws=50)
    assert turned.blocks == blocks


def test_seeds_that_differ_make_the_intervals_wide() -> None:
    strong, weak = (random_predictions(600, skill=skill, seed=5) for skill in (1.5, 0.2))
    incumbent = [random_predictions(600, seed=6)] * 2
    wide, narrow = (
        score_candidates({"a": by_seed}, incumbent, "mcc", 10, np.random.default_rng(0), draws=300).candidates["a"]
        for by_seed in ([strong, weak], [strong, strong])
    )
    for figure in ("figures", "lead"):
        spread = [one.lead if figure == "lead" else one.figures["mcc"] for one in (wide, narrow)]
        assert spread[0].high - spread[0].low > 2 * (spread[1].high - spread[1].low)


def test_the_winner_has_the_best_lower_bound_not_the_best_figure() -> None:
    def candidate(value: float, low: float) -> CandidateScore:
        return CandidateScore({"macro_f1": Interval(value, low, 1.0)}, Interval(0, 0, 0), ())

    assert best_candidate({"lucky": candidate(0.6, 0.3), "steady": candidate(0.5, 0.4)}, "macro_f1") == "steady"
    assert best_candidate({"a": candidate(0.5, NAN), "b": candidate(0.6, NAN)}, "macro_f1") == "b"
    assert best_candidate({"a": candidate(NAN, NAN), "b": candidate(0.1, NAN)}, "macro_f1") == "b"


def test_too_few_blocks_are_never_judged() -> None:
    outcomes = simulate_many(8, skilled(0.44), days=17)
    assert {outcome.status for outcome in outcomes} == {"too short to tell"}


def test_much_skill_is_nearly_always_certified_in_60_days() -> None:
    outcomes = simulate_many(30, skilled(0.44), days=60)
    assert np.mean([outcome.mcc for outcome in outcomes]) == pytest.approx(0.25, abs=0.02)
    assert np.mean([outcome.status == "certified" for outcome in outcomes]) >= 0.85


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("days", [30, 60])
@pytest.mark.parametrize("case", NULLS, ids=[case.name for case in NULLS])
def test_without_skill_at_direction_few_campaigns_are_certified(case: Case, days: int) -> None:
    outcomes = simulate_many(200, case, days)
    assert np.mean([outcome.status == "certified" for outcome in outcomes]) <= 0.06
    assert abs(np.mean([outcome.direction_auc.value for outcome in outcomes]) - 0.5) < 0.01
    # The gate on direction holds them back by itself, whatever the lead does.
    assert np.mean([outcome.passes_direction for outcome in outcomes]) <= 0.06


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_interval_of_the_direction_auc_covers_chance() -> None:
    outcomes = simulate_many(300, NULLS[0], days=60)
    assert coverage([outcome.direction_auc for outcome in outcomes], 0.5) == pytest.approx(0.95, abs=0.035)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_blocks_of_single_bars_would_pass_luck_for_direction() -> None:
    """The gate is able to fail: what it lets through depends on the length of the blocks."""
    passed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        market, probabilities = NULLS[2].predict(30 * DAY, rng)
        model = Predictions(np.arange(30 * DAY) * BAR * DAY, market.labels, probabilities, bar=BAR * DAY)
        result = score_final_test(model, {"itself": model}, "macro_f1", 1, rng, draws=200)
        passed += result.direction_auc.low > 0.5
    assert passed / 200 > 0.06
