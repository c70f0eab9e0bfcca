"""A cell is trained on the past of its block, and its result is kept as one row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.evaluation import metrics
from core.evaluation.decision import DecisionRule
from search.confirmation import cells
from search.confirmation.cells import CellResult, train_cell
from search.confirmation.plan import ConfirmationPlan
from search.results.predictions import INCUMBENT, TEST, probabilities_of, timestamps_of
from tests.helpers.confirmations import make_job, train_result

pytestmark = pytest.mark.costly


def test_a_cell_predicts_its_block_with_the_epoch_that_its_val_chose(
    plan: ConfirmationPlan, trained: list[CellResult]
) -> None:
    for cell, result in zip(plan.cells, trained, strict=True):
        fold = plan.dataset_of(cell)
        assert result.record.is_complete
        assert result.predictions["label"].tolist() == fold.labels[fold.test].tolist()
        assert timestamps_of(result.predictions).tolist() == fold.timestamps[fold.test].tolist()
        macro_f1 = metrics.macro_f1(fold.labels[fold.test], probabilities_of(result.predictions))
        assert result.record.held_out["macro_f1"] == pytest.approx(macro_f1)
        assert result.record.decision_bias is None  # only the final model's calls are judged by a rule
        assert (result.record.train_rows, result.record.val_rows) == (len(fold.train), len(fold.val))
    again = train_result(plan, plan.cells[0])
    pd.testing.assert_frame_equal(again.predictions, trained[0].predictions)


def test_a_training_that_diverges_gives_a_failed_row(plan: ConfirmationPlan) -> None:
    cell = plan.cells[0]
    wild = cell.candidate.recipe.with_trainer(learning_rate=1.0, clip_norm=1e9)
    augmented = wild.model_copy(update={"augment": wild.augment.model_copy(update={"noise_std": 1e30})})
    diverging = replace(cell, candidate=replace(cell.candidate, recipe=augmented))
    (result,) = train_cell(diverging, plan.dataset_of(cell), make_job(plan))
    assert result.record.status == "failed"
    assert result.record.reason
    assert result.predictions.empty
    assert result.returns.empty


def test_a_candidate_with_the_recipe_of_the_incumbent_shares_its_trainings(plan: ConfirmationPlan) -> None:
    first = plan.candidates[0]
    twin = replace(plan, candidates=(first, replace(plan.candidates[-1], recipe=first.recipe)))
    cells = [cell for cell in twin.cells if cell.split == "fold 1" and cell.seed == plan.seeds[0]]
    assert len({cell.key("same", 2) for cell in cells}) == 1
    trained_once = train_result(plan, cells[0])
    shared = [trained_once.of_candidate(cell.candidate.number) for cell in cells]
    assert [result.record.number for result in shared] == [first.number, INCUMBENT]
    assert [set(result.predictions["number"]) for result in shared] == [{first.number}, {INCUMBENT}]


def test_the_final_models_rule_is_fitted_on_calibrated_predictions_of_val(
    plan: ConfirmationPlan, final: CellResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[tuple[str, np.ndarray, np.ndarray]] = []

    def spy(metric: str, probabilities: np.ndarray, labels: np.ndarray) -> DecisionRule:
        fitted.append((metric, probabilities, labels))
        return DecisionRule((0.1, 0.0, 0.2))

    monkeypatch.setattr(cells, "fit_decision_rule", spy)
    cell = next(cell for cell in plan.cells if cell.candidate.number == final.record.number)
    result = train_result(plan, replace(cell, seed=final.record.seed, split=TEST))
    assert result.record.decision_bias == (0.1, 0.0, 0.2)
    ((metric, probabilities, labels),) = fitted
    assert metric == plan.campaign.config.metric
    assert labels.tolist() == plan.dataset.labels[plan.dataset.val].tolist()
    # Calibrated on these rows, their mean probability is the share of each class.
    assert probabilities.mean(axis=0) == pytest.approx(np.bincount(labels, minlength=3) / len(labels), abs=0.01)
