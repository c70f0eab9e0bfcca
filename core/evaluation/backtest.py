"""Backtest of following a model's calls: what they would have earned, net of costs, beside buying and holding.

A call at bar t enters at the open of bar t+1 and leaves at the open of bar t+1+h, with all the capital of its symbol.
Calls made while a position is open are skipped. Symbols share the capital equally.

Shapes: N rows, M trades, D days.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from core.data.dataset import Dataset
from core.data.labels import BUY, HOLD, SELL

DEFAULT_COST_BP = 10.0
"""Cost of a round trip, in basis points of the capital traded."""
_DAY = 86_400_000_000
"""Microseconds in a day."""
_DAYS_PER_YEAR = 365


@dataclass(frozen=True)
class Backtest:
    """Holds the result of a backtest; returns are fractions, not percent.

    Attributes:
        net_return: growth of the capital after costs.
        gross_return: growth of the capital without costs.
        sharpe: annual Sharpe ratio, mean over standard deviation of the daily net returns times the root of 365; NaN
            for fewer than two days or without a trade.
        turnover: trades (entries and exits) per symbol and day.
        drawdown: deepest fall of the capital from a peak, at the ends of days; falls within a day do not show.
        trades: number of round trips, over all symbols.
        buy_and_hold: growth of capital that is held equally in all symbols from the first row to the last.
    """

    net_return: float
    gross_return: float
    sharpe: float
    turnover: float
    drawdown: float
    trades: int
    buy_and_hold: float

    def as_row(self) -> dict[str, float]:
        """Return the result as plain values, for a table or JSON."""
        return asdict(self)


def select_trades(timestamps: np.ndarray, calls: np.ndarray, hold: int) -> np.ndarray:
    """Select the calls of one symbol that are traded: BUY and SELL calls made while no position is open.

    Args:
        timestamps: bar openings in epoch microseconds, rising, `[N]`.
        calls: SELL, HOLD or BUY at each of these bars, `[N]`.
        hold: microseconds from a call until the next one can be traded: its position leaves at the open of
            bar t+1+h, where a call of bar t+h enters.

    Returns:
        indices of the calls traded, int64 `[M]`, rising.
    """
    trades = []
    next_entry = np.iinfo(np.int64).min
    for index in np.flatnonzero((calls == BUY) | (calls == SELL)):
        if timestamps[index] >= next_entry:
            trades.append(index)
            next_entry = timestamps[index] + hold
    return np.array(trades, dtype=np.int64)


def run_backtest(dataset: Dataset, rows: np.ndarray, calls: np.ndarray, cost_bp: float = DEFAULT_COST_BP) -> Backtest:
    """Run a backtest of the calls on some rows of a dataset.

    Args:
        dataset: holds the returns and prices of the rows.
        rows: the rows called, `[N]`, in the order of the dataset.
        calls: SELL, HOLD or BUY for each of these rows, `[N]`.
        cost_bp: cost of a round trip, in basis points.

    Returns:
        the growth of the capital and the figures that describe it.
    """
    symbols = len(dataset.symbol_names)
    exits, gross = compute_trade_returns(dataset, rows, calls, cost_bp=0.0)
    net = gross - cost_bp / 1e4 / symbols
    daily_net = _sum_by_day(exits, net, dataset.timestamps[rows])
    daily_gross = _sum_by_day(exits, gross, dataset.timestamps[rows])
    rows_by_symbol = [rows[dataset.symbols[rows] == symbol] for symbol in range(symbols)]
    held = [np.expm1(_holding_return(dataset, symbol_rows)) for symbol_rows in rows_by_symbol if len(symbol_rows)]
    capital = np.cumprod(1 + daily_net)
    peaks = np.maximum.accumulate(np.concatenate([[1.0], capital]))
    deviation = float(daily_net.std(ddof=1)) if len(daily_net) > 1 else 0.0
    return Backtest(
        net_return=float(capital[-1] - 1),
        gross_return=float(np.prod(1 + daily_gross) - 1),
        sharpe=float(daily_net.mean() / deviation * np.sqrt(_DAYS_PER_YEAR)) if deviation > 0 else float("nan"),
        turnover=2 * len(net) / symbols / len(daily_net),
        drawdown=float((1 - np.concatenate([[1.0], capital]) / peaks).max()),
        trades=len(net),
        buy_and_hold=float(np.mean(held)),
    )


def compute_trade_returns(
    dataset: Dataset, rows: np.ndarray, calls: np.ndarray, cost_bp: float = DEFAULT_COST_BP
) -> tuple[np.ndarray, np.ndarray]:
    """Compute what each trade adds to the capital of all symbols together.

    Args:
        dataset: holds the returns of the rows.
        rows: the rows called, `[N]`, in the order of the dataset.
        calls: SELL, HOLD or BUY for each of these rows, `[N]`.
        cost_bp: cost of a round trip, in basis points.

    Returns:
        the instants at which the trades end, in epoch microseconds `[M]`, and their net returns as fractions of all
        capital `[M]`.
    """
    gains = compute_row_gains(dataset, rows, calls, cost_bp)
    is_trade = ~np.isnan(gains)
    return dataset.timestamps[rows[is_trade]] + (dataset.horizon + 1) * dataset.bar, gains[is_trade]


def compute_row_gains(
    dataset: Dataset, rows: np.ndarray, calls: np.ndarray, cost_bp: float = DEFAULT_COST_BP
) -> np.ndarray:
    """Compute the net return of the trade that each row leads to.

    Args:
        dataset: holds the returns of the rows.
        rows: the rows called, `[N]`, in the order of the dataset.
        calls: SELL, HOLD or BUY for each of these rows, `[N]`.
        cost_bp: cost of a round trip, in basis points.

    Returns:
        fractions of all capital, `[N]`; NaN where no trade is made.
    """
    symbols = len(dataset.symbol_names)
    gains = np.full(len(rows), np.nan)
    # Where the price at the end is not known (before a gap, at the end of val), no trade is made.
    calls = np.where(np.isnan(dataset.trade_returns[rows]), HOLD, calls)
    for symbol in range(symbols):
        indices = np.flatnonzero(dataset.symbols[rows] == symbol)
        trades = indices[
            select_trades(dataset.timestamps[rows[indices]], calls[indices], dataset.horizon * dataset.bar)
        ]
        side = np.where(calls[trades] == BUY, 1.0, -1.0)
        moves = np.expm1(dataset.trade_returns[rows[trades]].astype(np.float64))
        gains[trades] = (side * moves - cost_bp / 1e4) / symbols
    return gains


def _sum_by_day(exits: np.ndarray, gains: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Sum the gains `[M]` by the UTC day of their exits `[M]`, from the day of the first row to the last, `[D]`."""
    first = int(timestamps.min()) // _DAY
    last = max(int(timestamps.max()), int(exits.max(initial=0))) // _DAY
    return np.bincount(exits // _DAY - first, weights=gains, minlength=last - first + 1)


def _holding_return(dataset: Dataset, rows: np.ndarray) -> float:
    """Return the log return of holding one symbol from the first of its rows to the last."""
    return float(dataset.log_prices[rows[-1]] - dataset.log_prices[rows[0]])
