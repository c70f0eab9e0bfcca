"""A cell is trained on the past of its block, and its result is kept as one row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.evaluation import metrics
from core.evaluation.calibration import Calibration
from core.evaluation.decision import DecisionRule
from core.training import trainer
from search.confirmation.cell_predictions import predictions_of_cell
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
        calls = predictions_of_cell(result, fold).calls
        assert result.record.held_out["macro_f1"] == metrics.macro_f1(fold.labels[fold.test], calls)
        assert (calls != probabilities_of(result.predictions).argmax(axis=1)).any()
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


def test_the_rule_that_calls_held_out_rows_is_the_one_fitted_on_val(
    plan: ConfirmationPlan, final: CellResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[tuple[str, np.ndarray]] = []

    def spy(
        logits: Any, labels: np.ndarray, timestamps: Any, bar: int, metric: str
    ) -> tuple[Calibration, DecisionRule]:
        fitted.append((metric, labels))
        return Calibration(), DecisionRule((1e-9, 0.5, 0.5), 1.5, bar)

    monkeypatch.setattr(trainer, "fit_decisions", spy)
    cell = next(cell for cell in plan.cells if cell.candidate.number == final.record.number)
    result = train_result(plan, replace(cell, seed=final.record.seed, split=TEST))
    assert (result.record.decision_mean, result.record.decision_tilt) == ((1e-9, 0.5, 0.5), 1.5)
    assert result.record.held_out["top_share"] == 1.0
    ((metric, labels),) = fitted
    assert metric == plan.campaign.config.metric
    assert labels.tolist() == plan.dataset.labels[plan.dataset.val].tolist()
