"""The winner is chosen out of fold, and the verdict says what was read on test."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import ConfigError
from core.evaluation import metrics
from search.cli import confirm
from search.confirmation import certify
from search.confirmation.cells import CellResult
from search.confirmation.certify import make_verdict, select_winner
from search.confirmation.plan import Cell, ConfirmationPlan
from search.results.folder import CampaignFolder
from search.results.judged import EARLIER_READINGS_GATE
from search.results.ledger_entry import OverlappingEntry, without_defaults
from search.results.predictions import INCUMBENT, TEST, probabilities_of, timestamps_of
from search.statistics import overfitting_probability
from tests.helpers.campaigns import NAME
from tests.helpers.confirmations import ENTRY

pytestmark = pytest.mark.costly


def test_a_candidate_with_a_failed_cell_cannot_win(plan: ConfirmationPlan, trained: list[CellResult]) -> None:
    first = plan.candidates[0].number
    broken = [
        CellResult.failed(cell, "diverged") if cell.candidate.number == first and cell.split == "fold 1" else result
        for cell, result in zip(plan.cells, trained, strict=True)
    ]
    selection = select_winner(plan, broken)
    assert selection.winner.number == plan.candidates[1].number
    assert list(selection.scores) == [plan.candidates[1].name]


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
        select_winner(plan, broken)


def test_the_verdict_holds_all_that_a_preset_says(confirmed: Path, plan: ConfirmationPlan, final: CellResult) -> None:
    verdict = CampaignFolder(confirmed / NAME).read_verdict()
    assert verdict is not None
    assert verdict.status in ("certified", "not certified")
    assert [gate.name.split(",")[0].split(" (")[0] for gate in verdict.gates] == [
        "all figures finite",
        "trained to the end",
        "largest share of one class",
        "earlier readings of this test span",
        "macro-F1 on test less that of the best baseline",
        "direction AUC on test less 0.5",
    ]
    labels = final.predictions["label"].to_numpy()
    assert verdict.test is not None
    assert verdict.tradable is not None
    assert verdict.overfitting is not None
    assert verdict.lead.low is not None
    assert verdict.test.macro_f1.value == pytest.approx(metrics.macro_f1(labels, probabilities_of(final.predictions)))
    assert verdict.test.rows == len(plan.dataset.test)
    assert set(verdict.test.baselines) == {"majority", "persistence", "logistic regression", "gradient boosting"}
    assert (verdict.overfitting.probability, verdict.overfitting.trials) == ("n/a", 3)  # the stopped trial counts, too
    assert verdict.tradable.trials == 3
    assert {line.kind for line in verdict.checklist} >= {"gate", "guide target"}
    assert verdict.recommended == ("winner" if verdict.lead.low > 0 else "incumbent")


def test_the_deflated_sharpe_is_that_of_single_trainings_and_not_of_the_mean_of_the_seeds(
    plan: ConfirmationPlan, trained: list[CellResult], final: CellResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[np.ndarray] = []

    def deflated(returns: np.ndarray, others: np.ndarray, tried: int) -> float:
        judged.append(returns)
        return [0.2, 0.9][len(judged) - 1]

    monkeypatch.setattr(certify, "deflated_sharpe", deflated)
    selection = select_winner(plan, trained)
    period = (plan.dataset.horizon + 1) * plan.dataset.bar
    ratios = []
    for seed in plan.seeds:
        winner_and_seed = selection.winner.number, seed
        cells = [cell for cell in trained if (cell.record.number, cell.record.seed) == winner_and_seed]
        assert len(cells) == plan.settings.folds
        periods = np.concatenate([timestamps_of(cell.predictions) for cell in cells]) // period
        gains = np.zeros(periods.max() - periods.min() + 1)
        for cell in cells:
            call_instants = timestamps_of(cell.returns) - period
            np.add.at(gains, call_instants // period - periods.min(), cell.returns["net_return"].to_numpy())
        ratios.append(gains.mean() / gains.std())
    verdict = make_verdict(plan, selection, final, None, [])
    assert verdict.tradable is not None
    assert len(set(ratios)) == len(plan.seeds) == 2
    assert [returns.mean() / returns.std() for returns in judged] == pytest.approx(ratios, rel=1e-9)
    assert verdict.tradable.sharpe_per_period == pytest.approx(np.median(ratios), rel=1e-9)
    assert verdict.tradable.deflated_sharpe == pytest.approx(0.55)
    assert verdict.method.deflated_sharpe is not None
    assert "median of the seeds" in verdict.method.deflated_sharpe


def test_earlier_readings_are_recorded_in_the_verdict(
    plan: ConfirmationPlan, trained: list[CellResult], final: CellResult
) -> None:
    earlier = [
        OverlappingEntry(**{**asdict(ENTRY), "campaign": "before"}, saw=["val", "test"]),
        OverlappingEntry(**{**asdict(ENTRY), "campaign": "other"}, saw=["val"]),
    ]
    verdict = make_verdict(plan, select_winner(plan, trained), final, ENTRY, earlier)
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
        verdict = make_verdict(plan, select_winner(plan, trained), final, None, [])
        assert verdict.overfitting is not None
        assert (verdict.overfitting.probability, verdict.overfitting.trials) == expected


def test_a_failed_final_training_gives_a_verdict_too(plan: ConfirmationPlan, trained: list[CellResult]) -> None:
    final_cell = Cell(plan.candidates[0], 1, TEST)
    failed = CellResult.failed(final_cell, "diverged")
    verdict = make_verdict(plan, select_winner(plan, trained), failed, None, [])
    assert (verdict.status, verdict.reason) == ("not certified", "the final training failed: diverged")
    content = verdict.as_row()
    assert list(content)[-4:] == ["final", "gates", "reason", "look"]  # nothing of a test that was not read
    assert content["final"] == {"seed": 1, "status": "failed", "reason": "diverged"}
    confirm.show_verdict(verdict)


def test_a_dry_run_is_never_certified(plan: ConfirmationPlan, trained: list[CellResult], final: CellResult) -> None:
    dry = plan.campaign.config.model_copy(update={"dry_run": True})
    verdict = make_verdict(
        replace(plan, campaign=replace(plan.campaign, config=dry)), select_winner(plan, trained), final, None, []
    )
    assert verdict.status == "not certified"
