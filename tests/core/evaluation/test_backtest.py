from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.data.dataset import Dataset
from core.data.labels import BUY, HOLD, SELL
from core.evaluation.backtest import compute_row_gains, compute_trade_returns, run_backtest, select_trades
from tests.helpers.market import HORIZON, market_config, prepare, random_bars


@pytest.fixture(scope="module")
def flat() -> Dataset:
    dataset = prepare([random_bars(5000)], market_config())
    return replace(dataset, trade_returns=np.zeros_like(dataset.trade_returns))


def test_a_trade_enters_at_the_next_open_and_leaves_h_bars_later() -> None:
    bars = random_bars(5000)
    dataset = prepare([bars], market_config())
    opens = bars.frame["open"].to_numpy()
    row = int(dataset.val[10])
    assert dataset.trade_returns[row] == pytest.approx(np.log(opens[row + 1 + HORIZON] / opens[row + 1]), abs=1e-7)
    calls = np.where(dataset.val == row, BUY, HOLD)
    gross = opens[row + 1 + HORIZON] / opens[row + 1] - 1
    result = run_backtest(dataset, dataset.val, calls, cost_bp=0)
    assert (result.trades, result.net_return) == (1, pytest.approx(gross, rel=1e-4))
    short = run_backtest(dataset, dataset.val, np.where(dataset.val == row, SELL, HOLD), cost_bp=10)
    assert short.net_return == pytest.approx(-gross - 0.001, rel=1e-4)
    assert short.gross_return == pytest.approx(-gross, rel=1e-4)


def test_calls_made_while_a_position_is_open_are_ignored() -> None:
    calls = np.array([BUY, BUY, SELL, SELL, HOLD, BUY])
    assert select_trades(np.arange(6), calls, hold=3).tolist() == [0, 3]
    assert select_trades(np.arange(6), calls, hold=1).tolist() == [0, 1, 2, 3, 5]
    assert select_trades(np.arange(6), np.full(6, HOLD), hold=1).tolist() == []


@pytest.mark.parametrize("symbols", [1, 3, 49])
def test_no_call_earns_and_loses_nothing(symbols: int) -> None:
    dataset = prepare([random_bars(4000, symbol=f"S{number}") for number in range(symbols)], market_config())
    result = run_backtest(dataset, dataset.val, np.full(len(dataset.val), HOLD))
    assert (result.net_return, result.trades, result.turnover, result.drawdown) == (0.0, 0, 0.0, 0.0)
    assert result.sharpe == 0.0


def test_a_single_day_has_no_sharpe_ratio_whatever_is_called(flat: Dataset) -> None:
    day = flat.timestamps[flat.val] // 86_400_000_000
    rows = flat.val[day == day[300]][:-4]  # no trade of them ends on the next day
    assert len(rows) > 250
    for call in (HOLD, BUY):
        assert np.isnan(run_backtest(flat, rows, np.full(len(rows), call)).sharpe)


def test_costs_are_paid_on_every_round_trip(flat: Dataset) -> None:
    result = run_backtest(flat, flat.val, np.full(len(flat.val), BUY), cost_bp=10)
    assert result.trades == -(-len(flat.val) // HORIZON)
    assert result.gross_return == 0.0
    assert result.net_return == pytest.approx(0.999**result.trades - 1)
    assert result.drawdown == pytest.approx(-result.net_return)
    assert result.sharpe < 0


def test_symbols_share_the_capital() -> None:
    one = prepare([random_bars(5000)], market_config())
    two = prepare([random_bars(5000), random_bars(5000, symbol="ETHUSDT")], market_config())
    first, second = (run_backtest(item, item.val, np.full(len(item.val), BUY)) for item in (one, two))
    assert second.trades == 2 * first.trades
    assert second.net_return == pytest.approx(first.net_return)
    assert second.turnover == pytest.approx(first.turnover)
    assert second.buy_and_hold == pytest.approx(first.buy_and_hold)


def test_holding_is_from_the_first_row_to_the_last() -> None:
    bars = random_bars(5000)
    dataset = prepare([bars], market_config())
    close = bars.frame["close"].to_numpy()
    result = run_backtest(dataset, dataset.val, np.full(len(dataset.val), HOLD))
    assert result.buy_and_hold == pytest.approx(close[dataset.val[-1]] / close[dataset.val[0]] - 1)


def _paid(dataset: Dataset, returns: list[float], spacing: int) -> tuple[Dataset, np.ndarray]:
    """Return a dataset whose trades at every n-th val row earn these returns, and the calls that make them."""
    earned = np.zeros_like(dataset.trade_returns)
    rows = dataset.val[::spacing][: len(returns)]
    earned[rows] = np.log1p(returns)
    return replace(dataset, trade_returns=earned), np.where(np.isin(dataset.val, rows), BUY, HOLD)


def test_sharpe_turnover_and_drawdown_are_those_of_the_textbook(flat: Dataset) -> None:
    returns = [0.02, -0.03, 0.01, -0.02, 0.04]
    paid, calls = _paid(flat, returns, spacing=100)
    result = run_backtest(paid, paid.val, calls, cost_bp=0)
    ends = paid.timestamps[paid.val[calls == BUY]] + (HORIZON + 1) * paid.bar
    first, last = int(paid.timestamps[paid.val[0]]), int(paid.timestamps[paid.val[-1]])
    day = 86_400_000_000
    daily = np.array(
        [
            np.prod([1 + r for r, end in zip(returns, ends, strict=True) if end // day == d]) - 1
            for d in range(first // day, last // day + 1)
        ]
    )
    curve = np.cumprod(1 + daily)
    peaks = np.maximum.accumulate(np.concatenate([[1.0], curve]))[1:]
    assert result.sharpe == pytest.approx(daily.mean() / daily.std(ddof=1) * np.sqrt(365), rel=1e-5)
    assert result.drawdown == pytest.approx((1 - curve / peaks).max(), rel=1e-5)
    assert result.drawdown > 1.01 * max(1 - curve[-1], 0.0)  # the fall in between, not the one at the end
    assert result.turnover == pytest.approx(2 * len(returns) / len(daily))
    assert result.net_return == pytest.approx(curve[-1] - 1, rel=1e-5)


def test_capital_that_is_lost_stays_lost_and_is_traded_with_no_more(flat: Dataset) -> None:
    doubled, calls = _paid(flat, [0.5, 1.2, 3.0, 0.1], spacing=100)
    result = run_backtest(doubled, doubled.val, np.where(calls == BUY, SELL, HOLD))
    assert (result.net_return, result.gross_return, result.drawdown) == (-1.0, -1.0, 1.0)
    assert result.trades == 2  # the second one loses more than there is
    days = doubled.timestamps[doubled.val] // 86_400_000_000
    last_trade = np.flatnonzero(calls == BUY)[1]
    daily = np.zeros(days[-1] - days[0] + 1)
    daily[days[last_trade] - days[0]] = -1.0
    assert days[0] == days[last_trade]
    assert result.turnover == pytest.approx(4 / len(daily))
    assert result.sharpe == pytest.approx(daily.mean() / daily.std(ddof=1) * np.sqrt(365))


def test_a_symbol_that_has_lost_its_capital_leaves_that_of_the_others_alone() -> None:
    pair = prepare([random_bars(5000, symbol=name) for name in "AB"], market_config())
    earned = np.zeros_like(pair.trade_returns)
    first, second = (pair.val[pair.symbols[pair.val] == symbol] for symbol in (0, 1))
    earned[first[[10, 20]]] = np.log1p([-1 + 1e-12, 9.0])
    earned[second[[10, 20]]] = np.log1p(0.1)
    both = replace(pair, trade_returns=earned)
    calls = np.where(np.isin(pair.val, [*first[[10, 20]], *second[[10, 20]]]), BUY, HOLD)
    result = run_backtest(both, both.val, calls, cost_bp=1)
    assert result.trades == 3
    assert result.net_return == pytest.approx((0 + 1.0999**2) / 2 - 1)


def test_any_number_of_losing_trades_leaves_capital_between_0_and_1() -> None:
    dataset = prepare([random_bars(20_000)], market_config())
    result = run_backtest(dataset, dataset.val, np.full(len(dataset.val), BUY), cost_bp=300)
    assert result.trades > 900
    assert -1 <= result.net_return < -0.99
    assert result.net_return <= -result.drawdown + 1e-9
    assert 0.99 < result.drawdown <= 1


def test_a_trade_whose_end_is_not_known_is_not_made(flat: Dataset) -> None:
    unknown = replace(flat, trade_returns=np.full_like(flat.trade_returns, np.nan))
    result = run_backtest(unknown, unknown.val, np.full(len(unknown.val), BUY))
    assert (result.trades, result.net_return) == (0, 0.0)


def test_each_row_has_the_gain_of_the_trade_it_leads_to() -> None:
    dataset = prepare([random_bars(5000, seed, name) for seed, name in enumerate("AB")], market_config())
    calls = np.random.default_rng(0).integers(0, 3, len(dataset.val))
    gains = compute_row_gains(dataset, dataset.val, calls)
    when, net = compute_trade_returns(dataset, dataset.val, calls)
    traded = ~np.isnan(gains)
    assert 0 < traded.sum() < len(gains) / 2  # one position a symbol, held for three bars
    assert (calls[traded] != HOLD).all()
    assert net.tolist() == gains[traded].tolist()
    row = dataset.val[np.flatnonzero(traded)[0]]
    side = 1 if calls[traded][0] == BUY else -1
    assert net[0] == pytest.approx((side * np.expm1(float(dataset.trade_returns[row])) - 0.001) / 2)
    assert when[0] == dataset.timestamps[row] + 4 * dataset.bar
