"""Backtest of following a model's calls: what they would have earned, net of costs, beside buying and holding.

A call at bar t enters at the open of bar t+1 and leaves at the open of bar t+1+h, with all the capital of its symbol.
Calls made while a position is open are skipped. All symbols begin with the same share of the capital, and each keeps
what it gains. A symbol that has lost its capital trades no more.

Shapes: N rows, M trades, D days, S symbols.
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
        sharpe: annual Sharpe ratio, mean over standard deviation of the daily net returns times the root of 365; 0
            where every day returns 0, as without a trade; NaN for fewer than two days.
        turnover: trades (entries and exits) per symbol and day.
        drawdown: deepest fall of the capital from a peak, at the ends of days, from 0 to 1; falls within a day do not
            show.
        trades: number of round trips, over all symbols; those that a symbol had no capital for are not counted.
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
    days = _days(dataset, rows)
    gross = compute_row_gains(dataset, rows, calls, cost_bp=0.0)
    gross_capital, _ = _compound(dataset, rows, gross, days)
    capital, trades = _compound(dataset, rows, gross - cost_bp / 1e4 / symbols, days)
    rows_by_symbol = [rows[dataset.symbols[rows] == symbol] for symbol in range(symbols)]
    held = [np.expm1(_holding_return(dataset, symbol_rows)) for symbol_rows in rows_by_symbol if len(symbol_rows)]
    return Backtest(
        net_return=float(capital[-1] - 1),
        gross_return=float(gross_capital[-1] - 1),
        sharpe=_annual_sharpe(_daily_returns(capital)),
        turnover=2 * trades / symbols / len(days),
        drawdown=float((1 - capital / np.maximum.accumulate(capital)).max()),
        trades=trades,
        buy_and_hold=float(np.mean(held)),
    )


def compute_trade_returns(
    dataset: Dataset, rows: np.ndarray, calls: np.ndarray, cost_bp: float = DEFAULT_COST_BP
) -> tuple[np.ndarray, np.ndarray]:
    """Compute what each trade adds to the capital of all symbols together, see `compute_row_gains`.

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
    return _exits(dataset, rows[is_trade]), gains[is_trade]


def compute_row_gains(
    dataset: Dataset, rows: np.ndarray, calls: np.ndarray, cost_bp: float = DEFAULT_COST_BP
) -> np.ndarray:
    """Compute the net return of the trade that each row leads to, as if each were made with the same capital.

    Such returns can be added up and resampled; `run_backtest` compounds them.

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


def _days(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Return the numbers of the UTC days from that of the first row to that on which the last trade can end, `[D]`."""
    exits = _exits(dataset, rows[~np.isnan(dataset.trade_returns[rows])])
    last = max(int(dataset.timestamps[rows].max()), int(exits.max(initial=0)))
    return np.arange(int(dataset.timestamps[rows].min()) // _DAY, last // _DAY + 1)


def _exits(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Return when the trades that rows lead to end, in epoch microseconds, `[N]`."""
    return np.asarray(dataset.timestamps[rows] + (dataset.horizon + 1) * dataset.bar)


def _compound(dataset: Dataset, rows: np.ndarray, gains: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, int]:
    """Compound the gains of trades, each with all the capital that its symbol has, until that is lost.

    Args:
        dataset: holds the symbols and timestamps of the rows.
        rows: the rows called, `[N]`, in the order of the dataset.
        gains: net return of each row's trade as a fraction of the capital that all symbols begin with, `[N]`; NaN where
            no trade is made.
        days: numbers of consecutive UTC days, `[D]`.

    Returns:
        the capital of all symbols at the beginning, 1, and at the end of each day, `[D + 1]`; and how many of the
        trades there was capital for.
    """
    symbols = len(dataset.symbol_names)
    capital, trades = np.zeros(len(days) + 1), 0
    for symbol in range(symbols):
        is_trade = ~np.isnan(gains) & (dataset.symbols[rows] == symbol)
        # A short position loses more than its capital where the price more than doubles: no more than all can be lost.
        factors = np.maximum(1 + gains[is_trade] * symbols, 0)
        after_trades = np.cumprod(np.append(1.0, factors))
        trades += int((after_trades[:-1] > 0).sum())
        ended = np.searchsorted(_exits(dataset, rows[is_trade]) // _DAY, days, side="right")
        capital += after_trades[np.append(0, ended)]
    return capital / symbols, trades


def _daily_returns(capital: np.ndarray) -> np.ndarray:
    """Return the return of each day, given the capital at its beginning and at its end; 0 where none is left."""
    before, after = capital[:-1], capital[1:]
    growth = np.ones_like(after)
    np.divide(after, before, out=growth, where=before > 0)
    return growth - 1


def _annual_sharpe(returns: np.ndarray) -> float:
    """Compute the annual Sharpe ratio of daily returns `[D]`; 0 where all are 0, NaN where it is not defined."""
    if len(returns) < 2:
        return float("nan")
    if not returns.any():
        return 0.0
    deviation = float(returns.std(ddof=1))
    return float(returns.mean() / deviation * np.sqrt(_DAYS_PER_YEAR)) if deviation > 0 else float("nan")


def _holding_return(dataset: Dataset, rows: np.ndarray) -> float:
    """Return the log return of holding one symbol from the first of its rows to the last."""
    return float(dataset.log_prices[rows[-1]] - dataset.log_prices[rows[0]])
