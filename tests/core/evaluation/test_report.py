from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.data.dataset import Dataset
from core.data.labels import BUY, HOLD, SELL
from core.errors import ConfigError
from core.evaluation import metrics
from core.evaluation.backtest import run_backtest
from core.evaluation.calibration import logits_of
from core.evaluation.decision import cross_fitted_decisions
from core.evaluation.metric_names import NET_SHARPE, PREDICTION_METRICS
from core.evaluation.report import check_metric_is_defined, decide_rows, evaluate_rows, make_evaluation_report
from tests.helpers.market import HORIZON
from tests.helpers.predictions import most_probable

MOVE = 0.01


@pytest.fixture
def rising_and_falling(dataset: Dataset) -> Dataset:
    """A dataset in which the price moves by 1 % over every trade of val, up at even rows and down at odd ones."""
    trade_returns = np.zeros_like(dataset.trade_returns)
    trade_returns[dataset.val] = np.log1p(np.where(dataset.val % 2 == 0, MOVE, -MOVE))
    return replace(dataset, trade_returns=trade_returns)


def _probabilities(calls: np.ndarray) -> np.ndarray:
    return np.eye(3)[calls] * 0.8 + 0.2 / 3


def _few_calls(dataset: Dataset, call_at_rise: int, call_at_fall: int) -> np.ndarray:
    """Probabilities that call every fortieth row of val, rises and falls in turn."""
    rows = dataset.val
    calls = np.full(len(rows), HOLD)
    chosen = np.arange(0, len(rows), 41)
    calls[chosen] = np.where(rows[chosen] % 2 == 0, call_at_rise, call_at_fall)
    return _probabilities(calls)


def _report(dataset: Dataset, probabilities: np.ndarray, *cost_bp: float) -> dict[str, Any]:
    return make_evaluation_report(dataset, dataset.val, probabilities, most_probable(probabilities), *cost_bp)


def test_the_backtest_buys_where_the_model_calls_buy_and_pays_the_cost(rising_and_falling: Dataset) -> None:
    probabilities = _few_calls(rising_and_falling, BUY, SELL)
    backtest = _report(rising_and_falling, probabilities)["backtest"]
    trades = int((probabilities.argmax(axis=1) != HOLD).sum())
    assert backtest["trades"] == trades
    assert backtest["gross_return"] == pytest.approx((1 + MOVE) ** trades - 1)
    # Ten basis points per round trip.
    assert backtest["net_return"] == pytest.approx((1 + MOVE - 0.001) ** trades - 1)


def test_calls_in_the_wrong_direction_lose_in_the_backtest(rising_and_falling: Dataset) -> None:
    probabilities = _few_calls(rising_and_falling, SELL, BUY)
    backtest = _report(rising_and_falling, probabilities)["backtest"]
    assert backtest["net_return"] < backtest["gross_return"] < 0


def test_the_cost_of_the_backtest_can_be_set(rising_and_falling: Dataset) -> None:
    probabilities = _few_calls(rising_and_falling, BUY, SELL)
    free, cheap, dear = (
        _report(rising_and_falling, probabilities, cost_bp)["backtest"] for cost_bp in (0.0, 10.0, 30.0)
    )
    assert free["net_return"] == free["gross_return"] == dear["gross_return"]
    default = _report(rising_and_falling, probabilities)["backtest"]
    assert default == cheap
    assert dear["net_return"] < cheap["net_return"] < free["net_return"]


def test_the_report_holds_the_figures_of_its_rows(dataset: Dataset) -> None:
    rows = dataset.val[::HORIZON]
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], len(rows))
    decisions = decide_rows(dataset, rows, probabilities, "macro_f1")
    assert (decisions.calls != probabilities.argmax(axis=1)).any()
    report = make_evaluation_report(dataset, rows, probabilities, decisions)
    assert report["metrics"] == evaluate_rows(dataset, rows, probabilities, decisions)
    assert report["per_class"] == metrics.per_class_scores(dataset.labels[rows], decisions.calls)
    assert report["selective"] == metrics.selective_accuracy(dataset.returns[rows], decisions)
    assert report["backtest"] == run_backtest(dataset, rows, decisions.calls).as_row()


def test_rows_are_evaluated_on_their_own_labels_and_timestamps(dataset: Dataset) -> None:
    rows = dataset.val[5:400:3]
    probabilities = np.random.default_rng(1).dirichlet([1, 1, 1], len(rows))
    labels, timestamps = dataset.labels[rows], dataset.timestamps[rows]
    decisions = cross_fitted_decisions(logits_of(probabilities), labels, timestamps, dataset.bar, "macro_f1")
    of_rows = decide_rows(dataset, rows, probabilities, "macro_f1")
    assert of_rows.calls.tolist() == decisions.calls.tolist()
    np.testing.assert_array_equal(of_rows.probabilities, decisions.probabilities)
    expected = metrics.evaluate(dataset.labels[rows], probabilities, decisions)
    assert evaluate_rows(dataset, rows, probabilities, decisions) == expected
    assert tuple(expected) == PREDICTION_METRICS
    few = evaluate_rows(dataset, rows, probabilities, decisions, ["nll", "macro_f1"])
    assert few == {name: expected[name] for name in ("nll", "macro_f1")}


def test_not_trading_ranks_above_losing_money(rising_and_falling: Dataset) -> None:
    rows = rising_and_falling.val
    losing, idle = _few_calls(rising_and_falling, SELL, BUY), _probabilities(np.full(len(rows), HOLD))
    scores = [evaluate_rows(rising_and_falling, rows, p, most_probable(p), [NET_SHARPE]) for p in (losing, idle)]
    worse, better = (metrics.ranking_score(score, NET_SHARPE) for score in scores)
    assert worse < better == 0.0


def test_a_single_day_of_val_is_refused_for_a_ratio_of_days_before_training(dataset: Dataset) -> None:
    day = dataset.timestamps[dataset.val] // 86_400_000_000
    one_day = replace(dataset, val=dataset.val[day == day[300]][:-4])
    with pytest.raises(ConfigError, match=r"^net_sharpe is not defined on val: all trades end on one day"):
        check_metric_is_defined(one_day, "net_sharpe")
    check_metric_is_defined(one_day, "macro_f1")
    check_metric_is_defined(dataset, "net_sharpe")
