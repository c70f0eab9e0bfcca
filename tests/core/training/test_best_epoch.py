from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from core.config import RankingMetric, TrainingConfig
from core.data.dataset import Dataset
from core.data.labels import CLASSES, HOLD
from core.evaluation import calibration, metrics
from core.evaluation.backtest import run_backtest
from core.evaluation.decision import DecisionRule, fit_decision_rule
from core.evaluation.history import EpochResult
from core.evaluation.report import evaluate_rows
from core.training.trainer import Trainer
from tests.core.training.conftest import Scripted
from tests.helpers.market import cut, recipe

CPU = torch.device("cpu")


def _run(config: TrainingConfig, dataset: Dataset) -> list[EpochResult]:
    return list(Trainer(config, cut(dataset, 64, 8), CPU))


def test_the_value_is_the_best_score_so_far(short: Dataset, scripted: Scripted) -> None:
    scripted([0.2, 0.4, 0.3, 0.4, 0.5])
    results = _run(recipe(epochs=5), short)
    assert [result.score for result in results] == [0.2, 0.4, 0.3, 0.4, 0.5]
    assert [result.value for result in results] == [0.2, 0.4, 0.4, 0.4, 0.5]
    # A tie is no improvement.
    assert [result.best_epoch for result in results] == [1, 2, 2, 2, 5]
    assert [result.best_metrics["macro_f1"] for result in results] == [0.2, 0.4, 0.4, 0.4, 0.5]


@pytest.mark.parametrize(("patience", "epochs"), [(1, 3), (2, 4), (3, 9), (None, 10)])
def test_patience_ends_a_training_that_no_longer_improves(
    short: Dataset, scripted: Scripted, patience: int | None, epochs: int
) -> None:
    scripted([0.2, 0.3, 0.1, 0.1, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1])
    assert len(_run(recipe(epochs=10, patience=patience), short)) == epochs


def test_a_finished_training_runs_no_further(short: Dataset, scripted: Scripted) -> None:
    scripted([0.2] * 10)
    trainer = Trainer(recipe(epochs=2), cut(short, 64, 8), CPU)
    assert not trainer.finished
    assert len(list(trainer)) == 2
    assert trainer.finished
    assert list(trainer) == []


def test_the_best_weights_are_those_of_the_best_epoch(short: Dataset, scripted: Scripted) -> None:
    scripted([0.2, 0.9, 0.3])
    trainer = Trainer(recipe(), cut(short, 64, 8), CPU)
    copies = [{name: value.clone() for name, value in trainer.evaluated.state_dict().items()} for _ in trainer]
    assert trainer.best is not None
    assert trainer.best.epoch == 2
    assert all(torch.equal(trainer.best_weights[name], value) for name, value in copies[1].items())
    assert any(not torch.equal(trainer.best_weights[name], value) for name, value in copies[2].items())


def test_an_undefined_score_is_beaten_by_any_defined_one(short: Dataset, scripted: Scripted) -> None:
    scripted([math.nan, 0.1, math.nan])
    results = _run(recipe(), short)
    assert [result.best_epoch for result in results] == [1, 2, 2]
    assert results[-1].value == 0.1


def test_an_undefined_score_beats_nothing_so_patience_runs_out(short: Dataset, scripted: Scripted) -> None:
    scripted([math.nan] * 6)
    results = _run(recipe(epochs=6, patience=2), short)
    assert [result.best_epoch for result in results] == [1, 1, 1]


@pytest.mark.parametrize("metric", get_args(RankingMetric))
def test_any_ranking_metric_can_choose_the_epoch(short: Dataset, metric: RankingMetric) -> None:
    results = list(Trainer(recipe(metric=metric), short, CPU))
    sign = -1 if metric == "nll" else 1
    scores = [sign * result.metrics[metric] for result in results]
    assert [result.score for result in results] == scores
    assert results[-1].value == max(scores)


def test_the_net_sharpe_is_that_of_following_the_calls_at_cost(dataset: Dataset) -> None:
    days = cut(dataset, train=160, val=600)  # on one day of trades alone, any Sharpe ratio is the same
    trainer = Trainer(recipe(epochs=1), days, CPU)
    result = trainer.run_epoch()
    calls = trainer._predict_val(trainer._network_logits(trainer._val)).decisions.calls
    assert (calls != HOLD).any()
    sharpe = run_backtest(days, days.val, calls, cost_bp=10.0).sharpe
    assert result.metrics["net_sharpe"] == sharpe
    assert run_backtest(days, days.val, calls, cost_bp=0.0).sharpe != sharpe
    assert run_backtest(days, days.val, len(CLASSES) - 1 - calls, cost_bp=10.0).sharpe != sharpe


def test_halves_are_halves_in_time_and_judged_as_the_whole_is(short: Dataset) -> None:
    trainer = Trainer(recipe(epochs=1, metric="net_sharpe"), short, CPU)
    (result,) = list(trainer)
    probabilities, decisions = trainer._predict_val(trainer._network_logits(trainer._val))
    times = short.timestamps[short.val]
    for half, chosen in zip(result.halves, (times <= np.median(times), times > np.median(times)), strict=True):
        expected = metrics.evaluate(short.labels[short.val[chosen]], probabilities[chosen], decisions.of(chosen))
        assert half["macro_f1"] == expected["macro_f1"]
        assert half["direction_auc"] == expected["direction_auc"]
        assert "net_sharpe" in half


@pytest.mark.parametrize("metric", ["macro_f1", "nll", "net_sharpe"])
def test_the_latest_epoch_is_scored_on_ten_blocks_of_val_as_on_the_whole(short: Dataset, metric: RankingMetric) -> None:
    trainer = Trainer(recipe(epochs=2, metric=metric), short, CPU)
    list(trainer)
    before = {name: weight.clone() for name, weight in trainer.evaluated.state_dict().items()}
    scores = trainer.val_block_scores()
    assert all(torch.equal(weight, before[name]) for name, weight in trainer.evaluated.state_dict().items())
    probabilities, decisions = trainer._predict_val(trainer._network_logits(trainer._val))
    instants = np.unique(short.timestamps[short.val])
    assert len(scores) == 10
    for score, block in zip(scores, np.array_split(instants, 10), strict=True):
        chosen = np.isin(short.timestamps[short.val], block)
        of_block = probabilities[chosen], decisions.of(chosen)
        expected = evaluate_rows(short, short.val[chosen], *of_block, [metric])[metric]
        assert score == pytest.approx(-expected if metric == "nll" else expected, rel=1e-12, nan_ok=True)


def test_no_label_of_a_half_reaches_what_judges_it(short: Dataset) -> None:
    """The weight of the forest, calibration and decision rule are fitted on the other half alone."""
    trainer = Trainer(recipe(epochs=1), short, CPU)
    list(trainer)
    assert trainer.forest is not None
    logits = trainer._network_logits(trainer._val)
    before = trainer._predict_val(logits)
    for half in trainer._val_halves:
        changed = replace(short, labels=short.labels.copy())
        rows = short.val[half]
        changed.labels[rows] = (changed.labels[rows] + 1) % 3
        trainer._dataset, trainer._val_labels = changed, changed.labels[short.val]
        trainer._set_forest(trainer.forest)
        after = trainer._predict_val(logits)
        np.testing.assert_array_equal(after.probabilities[half], before.probabilities[half])
        np.testing.assert_array_equal(after.decisions.probabilities[half], before.decisions.probabilities[half])
        assert after.decisions.calls[half].tolist() == before.decisions.calls[half].tolist()
        assert (after.decisions.probabilities[~half] != before.decisions.probabilities[~half]).any()


def test_blocks_are_scored_only_by_the_trainer_that_ran_the_epoch(short: Dataset) -> None:
    trainer = Trainer(recipe(epochs=2), short, CPU)
    trainer.run_epoch()
    trainer.load_state_dict(trainer.state_dict())
    with pytest.raises(RuntimeError, match="run an epoch first"):
        trainer.val_block_scores()


def test_a_dataset_without_validation_is_trained_on_without_a_score(short: Dataset) -> None:
    trainer = Trainer(recipe(epochs=2), replace(short, val=short.val[:0]), CPU)
    results = list(trainer)
    assert [result.metrics for result in results] == [{}, {}]
    assert [result.best_epoch for result in results] == [1, 2]
    assert all(math.isnan(result.score) for result in results)
    assert all(torch.equal(trainer.best_weights[name], value) for name, value in trainer.evaluated.state_dict().items())


def test_the_best_weights_are_the_ones_evaluated(dataset: Dataset) -> None:
    trainer = Trainer(recipe(epochs=4, learning_rate=3e-3), cut(dataset, train=600), torch.device("cpu"))
    assert list(trainer)
    evaluation = trainer.evaluate_best()
    assert trainer.best is not None
    rows = dataset.val[:128]
    assert evaluate_rows(dataset, rows, *evaluation.val, ["macro_f1", "auc"]) == {
        name: pytest.approx(trainer.best.metrics[name]) for name in ("macro_f1", "auc")
    }
    assert evaluation.gap == evaluation.val_loss - evaluation.train_loss
    assert evaluation.calibration.temperature > 0


def test_calibration_and_decision_rule_are_fitted_on_val(dataset: Dataset) -> None:
    trainer = Trainer(recipe(epochs=2), cut(dataset, train=400, val=300), CPU)
    list(trainer)
    evaluation = trainer.evaluate_best()
    rows = dataset.val[:300]
    logits, labels = trainer.logits(torch.from_numpy(rows)), dataset.labels[rows]
    assert evaluation.calibration == calibration.fit_calibration(logits, labels)
    probabilities = evaluation.calibration.apply(logits)
    rule = fit_decision_rule(probabilities, labels, dataset.timestamps[rows], dataset.bar, "macro_f1")
    assert evaluation.rule == rule != DecisionRule(bar=dataset.bar)


def test_the_gap_is_measured_evenly_over_all_of_train(monkeypatch: pytest.MonkeyPatch, dataset: Dataset) -> None:
    requests: list[np.ndarray] = []
    logits = Trainer._network_logits

    def recorded(trainer: Trainer, rows: torch.Tensor) -> np.ndarray:
        requests.append(rows.numpy())
        return logits(trainer, rows)

    trainer = Trainer(recipe(epochs=1), cut(dataset, train=1000, val=500), CPU)
    trainer.run_epoch()
    monkeypatch.setattr(Trainer, "_network_logits", recorded)
    trainer.evaluate_best()
    sample = requests[-1]
    assert len(sample) == 500
    assert (sample[0], sample[-1]) == (dataset.train[0], dataset.train[999])
    assert np.diff(np.searchsorted(dataset.train, sample)).max() <= 3
