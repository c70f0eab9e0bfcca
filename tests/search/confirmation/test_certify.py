"""The winner is chosen out of fold, and the verdict says what was read on test."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kurtosis, norm, skew

from core.errors import ConfigError
from core.evaluation import metrics
from core.evaluation.baselines import BASELINES
from core.evaluation.calibration import Calibration
from core.evaluation.decision import DecisionRule
from search.cli import confirm
from search.confirmation import cell_predictions, certify
from search.confirmation.candidates import Cell
from search.confirmation.cells import CellResult
from search.confirmation.certify import make_verdict, select_winner
from search.confirmation.plan import ConfirmationPlan
from search.results.folder import CampaignFolder
from search.results.judged import EARLIER_READINGS_GATE
from search.results.ledger_entry import OverlappingEntry, without_defaults
from search.results.predictions import INCUMBENT, TEST, probabilities_of, timestamps_of
from search.statistics import Predictions, overfitting_probability
from tests.helpers.campaigns import NAME
from tests.helpers.confirmations import ENTRY

pytestmark = pytest.mark.costly


def test_a_candidate_with_a_failed_cell_cannot_win(plan: ConfirmationPlan, trained: list[CellResult]) -> None:
    first = plan.candidates[0].number
    broken = [
        CellResult.failed(cell, "diverged") if cell.candidate.number == first and cell.split == "fold 1" else result
        for cell, result in zip(plan.cells, trained, strict=True)
    ]
    selection = select_winner(plan.subject, broken)
    assert selection.winner.number == plan.candidates[1].number
    assert list(selection.comparison.candidates) == [plan.candidates[1].name]


@pytest.mark.parametrize(
    ("numbers", "who", "remedy"),
    [((INCUMBENT,), "the incumbent", "another --incumbent"), ((1, 2), "every candidate", "resume small with more")],
)
def test_without_a_candidate_or_the_incumbent_there_is_no_verdict(
    plan: ConfirmationPlan, trained: list[CellResult], numbers: tuple[int, ...], who: str, remedy: str
) -> None:
    broken = [
        CellResult.failed(cell, "diverged") if cell.candidate.number in numbers else result
        for cell, result in zip(plan.cells, trained, strict=True)
    ]
    with pytest.raises(ConfigError, match=f"confirmation of {who} failed .diverged.*{remedy}"):
        select_winner(plan.subject, broken)


def test_the_verdict_holds_all_that_a_preset_says(confirmed: Path, plan: ConfirmationPlan, final: CellResult) -> None:
    verdict = CampaignFolder(confirmed / NAME).read_verdict()
    assert verdict is not None
    assert verdict.status in ("too short to tell", "not certified")
    assert [gate.name.split(",")[0].split(" (")[0] for gate in verdict.gates] == [
        "largest share of one class",
        "earlier readings of this test span",
        "macro_f1 on test less that of the best baseline",
        "direction AUC on test less 0.5",
    ]
    labels = final.predictions["label"].to_numpy()
    assert verdict.test is not None
    assert verdict.tradable is not None
    assert verdict.overfitting is not None
    assert verdict.lead.low is None  # a few days are too short to tell
    assert len(verdict.lead.by_fold) == plan.settings.folds
    assert set(verdict.method.block_bars) == {"macro_f1", "mcc", "direction_auc", "nll", "lead"}
    assert verdict.method.test_block_bars == plan.subject.min_block
    assert verdict.test is not None
    assert (verdict.test.decision_mean, verdict.test.decision_tilt) == (
        final.record.decision_mean,
        final.record.decision_tilt,
    )
    calls = cell_predictions.predictions_of_cell(final, plan.dataset).calls
    assert verdict.test.macro_f1.value == pytest.approx(metrics.macro_f1(labels, calls))
    assert verdict.test.macro_f1 == verdict.test.score
    assert verdict.test.rows == len(plan.dataset.test)
    assert set(verdict.test.baselines) == {"majority", "persistence", "logistic regression", "gradient boosting"}
    assert (verdict.overfitting.probability, verdict.overfitting.trials) == ("n/a", 3)  # the stopped trial counts, too
    assert {line.kind for line in verdict.checklist} >= {"gate", "guide target"}
    assert verdict.recommended == "incumbent"


def test_the_returns_on_test_are_judged(plan: ConfirmationPlan, trained: list[CellResult], final: CellResult) -> None:
    period = (plan.dataset.horizon + 1) * plan.dataset.bar
    calls = timestamps_of(final.predictions) // period
    gains = np.zeros(calls.max() - calls.min() + 1)
    np.add.at(
        gains, (timestamps_of(final.returns) - period) // period - calls.min(), final.returns["net_return"].to_numpy()
    )
    verdict = make_verdict(plan.subject, select_winner(plan.subject, trained), final, None, [])
    assert verdict.tradable is not None
    assert verdict.tradable.periods == len(gains)
    assert verdict.tradable.sharpe_per_period == pytest.approx(gains.mean() / gains.std(), rel=1e-9)
    ratio = gains.mean() / gains.std()
    error = np.sqrt((1 - skew(gains) * ratio + (kurtosis(gains) + 2) / 4 * ratio**2) / (len(gains) - 1))
    assert verdict.tradable.probabilistic_sharpe == pytest.approx(norm.cdf(ratio / error), rel=1e-9)


def test_earlier_readings_are_recorded_in_the_verdict(
    plan: ConfirmationPlan, trained: list[CellResult], final: CellResult
) -> None:
    earlier = [
        OverlappingEntry(**{**asdict(ENTRY), "campaign": "before"}, saw=["val", "test"]),
        OverlappingEntry(**{**asdict(ENTRY), "campaign": "other"}, saw=["val"]),
    ]
    verdict = make_verdict(plan.subject, select_winner(plan.subject, trained), final, ENTRY, earlier)
    row = verdict.as_row()
    assert row["earlier_looks"] == tuple(without_defaults(asdict(entry)) for entry in earlier)
    assert row["look"] == without_defaults(asdict(ENTRY))
    gate = next(gate for gate in verdict.gates if gate.name == EARLIER_READINGS_GATE)
    assert (gate.value, gate.verdict, verdict.status) == (2, "fail", "not certified")


def test_overfitting_is_judged_over_all_trials_at_the_first_rung(
    plan: ConfirmationPlan, trained: list[CellResult], final: CellResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    opposed = np.outer(np.arange(12), np.repeat([1.0, -1.0], 5))
    for blocks, expected in ((opposed, (overfitting_probability(opposed), 12)), (None, ("n/a", 0))):
        monkeypatch.setattr(certify, "read_val_blocks", lambda _, blocks=blocks: blocks)
        verdict = make_verdict(plan.subject, select_winner(plan.subject, trained), final, None, [])
        assert verdict.overfitting is not None
        assert (verdict.overfitting.probability, verdict.overfitting.trials) == expected


def test_a_failed_final_training_gives_a_verdict_too(plan: ConfirmationPlan, trained: list[CellResult]) -> None:
    final_cell = Cell(plan.candidates[0], 1, TEST)
    failed = CellResult.failed(final_cell, "diverged")
    verdict = make_verdict(plan.subject, select_winner(plan.subject, trained), failed, None, [])
    assert (verdict.status, verdict.reason) == ("not certified", "the final training failed: diverged")
    content = verdict.as_row()
    assert list(content)[-4:] == ["final", "gates", "reason", "look"]  # nothing of a test that was not read
    assert content["final"] == {"seed": 1, "status": "failed", "reason": "diverged"}
    confirm.show_verdict(verdict)


def test_a_dry_run_is_never_certified(plan: ConfirmationPlan, trained: list[CellResult], final: CellResult) -> None:
    dry = replace(plan.subject, record=plan.subject.record.model_copy(update={"dry_run": True}))
    verdict = make_verdict(dry, select_winner(dry, trained), final, None, [])
    assert verdict.status == "not certified"


def test_a_baselines_rule_is_fitted_on_val_as_the_models_is(
    plan: ConfirmationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[np.ndarray] = []

    def spy(
        logits: Any, labels: np.ndarray, timestamps: Any, bar: int, metric: str
    ) -> tuple[Calibration, DecisionRule]:
        fitted.append(labels)
        return Calibration(), DecisionRule((1e-6, 1e-6, 1.0), 1.0)

    monkeypatch.setattr(cell_predictions, "fit_decisions", spy)
    predictions, _ = cell_predictions.predict_baseline("logistic regression", plan.dataset, "macro_f1")
    assert [labels.tolist() for labels in fitted] == [plan.dataset.labels[plan.dataset.val].tolist()]
    assert predictions.labels.tolist() == plan.dataset.labels[plan.dataset.test].tolist()
    assert set(predictions.calls) <= {0, 1}  # called by the rule
    expected = BASELINES["logistic regression"](plan.dataset, plan.dataset.test)
    assert predictions.probabilities == pytest.approx(expected)


def test_the_models_calls_are_made_by_its_rule_from_calibrated_probabilities(
    plan: ConfirmationPlan, trained: list[CellResult], final: CellResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Predictions] = []
    present = certify.score_final_test

    def spy(model: Predictions, *args: Any) -> Any:
        seen.append(model)
        return present(model, *args)

    monkeypatch.setattr(certify, "score_final_test", spy)
    fitted = {"temperature": 0.5, "bias": (1.0, 0.0, -1.0), "decision_mean": (0.2, 0.5, 0.3), "decision_tilt": 0.8}
    record = final.record.model_copy(update=fitted)
    make_verdict(plan.subject, select_winner(plan.subject, trained), replace(final, record=record), None, [])
    calibrated = Calibration(0.5, (1.0, 0.0, -1.0)).apply(np.log(probabilities_of(final.predictions)))
    rule = DecisionRule((0.2, 0.5, 0.3), 0.8, plan.dataset.bar)
    assert seen[0].calls.tolist() == rule.calls(calibrated, timestamps_of(final.predictions)).tolist()


def test_a_training_out_of_fold_that_calls_one_class_alone_fails_the_gate(
    plan: ConfirmationPlan, trained: list[CellResult], final: CellResult
) -> None:
    winner = select_winner(plan.subject, trained).winner
    index = next(index for index, cell in enumerate(trained) if cell.record.number == winner.number)
    held_out = {**trained[index].record.held_out, "top_share": 0.97}
    collapsed = replace(trained[index], record=trained[index].record.model_copy(update={"held_out": held_out}))
    cells = [*trained[:index], collapsed, *trained[index + 1 :]]
    verdict = make_verdict(plan.subject, select_winner(plan.subject, cells), final, None, [])
    gate = verdict.gates[0]
    assert (gate.name, gate.value, gate.verdict) == ("largest share of one class", 0.97, "fail")
