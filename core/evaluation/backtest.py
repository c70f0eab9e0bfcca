"""What following the calls would have earned: net of costs, beside buying and holding.

A call at bar t enters at the open of bar t+1 and leaves at the open of bar t+1+h, all of one symbol's
capital at a time; calls made while a position is open are passed over. Symbols share capital equally.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from core.data.dataset import Dataset
from core.data.labels import BUY, HOLD, SELL

DEFAULT_COST_BP = 10.0
_DAY = 86_400_000_000
_DAYS_A_YEAR = 365


@dataclass(frozen=True)
class Backtest:
    """The outcome of a backtest; returns are fractions, not percent.

    Attributes:
        net_return: growth of capital after costs.
        gross_return: the same without costs.
        sharpe: mean over deviation of daily net returns, a year's worth; NaN under two days or without a trade.
        turnover: trades (in and out) a symbol and day.
        drawdown: deepest fall of capital from a peak, at the ends of days; falls within a day do not show.
        trades: how many there were.
        buy_and_hold: growth of capital that is held in all symbols from the first row to the last.
    """

    net_return: float
    gross_return: float
    sharpe: float
    turnover: float
    drawdown: float
    trades: int
    buy_and_hold: float

    def as_row(self) -> dict[str, float]:
        """Plain values, for a table or JSON."""
        return asdict(self)


def trades_taken(timestamps: np.ndarray, calls: np.ndarray, hold: int) -> np.ndarray:
    """Which calls of one symbol are traded: BUY and SELL calls made while no position is open.

    Args:
        timestamps: `[N]`, rising, in epoch microseconds.
        calls: SELL, HOLD, BUY, `[N]`.
        hold: microseconds from a call until the next one can be traded: its position leaves at the open of
            bar t+1+h, where a call of bar t+h enters.

    Returns:
        indices `[M]` into the rows.
    """
    taken = []
    free = np.iinfo(np.int64).min
    for place in np.flatnonzero((calls == BUY) | (calls == SELL)):
        if timestamps[place] >= free:
            taken.append(place)
            free = timestamps[place] + hold
    return np.array(taken, dtype=np.int64)


def run(dataset: Dataset, rows: np.ndarray, calls: np.ndarray, cost_bp: float = DEFAULT_COST_BP) -> Backtest:
    """Follow the calls on these rows.

    Args:
        dataset: where returns come from.
        rows: rows called, `[N]`, in the order of the dataset.
        calls: SELL, HOLD, BUY, `[N]`.
        cost_bp: cost of a round trip in basis points.
    """
    symbols = len(dataset.symbol_names)
    when, before_costs = trade_returns(dataset, rows, calls, cost_bp=0.0)
    net = before_costs - cost_bp / 1e4 / symbols
    days = _daily(when, net, dataset.timestamps[rows])
    days_before_costs = _daily(when, before_costs, dataset.timestamps[rows])
    owned = [rows[dataset.symbols[rows] == symbol] for symbol in range(symbols)]
    held = [np.expm1(_log_prices(dataset, own)) for own in owned if len(own)]
    curve = np.cumprod(1 + days)
    peaks = np.maximum.accumulate(np.concatenate([[1.0], curve]))
    deviation = float(days.std(ddof=1)) if len(days) > 1 else 0.0
    return Backtest(
        net_return=float(curve[-1] - 1),
        gross_return=float(np.prod(1 + days_before_costs) - 1),
        sharpe=float(days.mean() / deviation * np.sqrt(_DAYS_A_YEAR)) if deviation > 0 else float("nan"),
        turnover=2 * len(net) / symbols / len(days),
        drawdown=float((1 - np.concatenate([[1.0], curve]) / peaks).max()),
        trades=len(net),
        buy_and_hold=float(np.mean(held)),
    )


def trade_returns(
    dataset: Dataset, rows: np.ndarray, calls: np.ndarray, cost_bp: float = DEFAULT_COST_BP
) -> tuple[np.ndarray, np.ndarray]:
    """What each trade adds to the capital of all symbols together.

    Returns:
        when the trades end, in epoch microseconds `[M]`, and their net returns as fractions of all capital `[M]`.
    """
    gains = gains_of_rows(dataset, rows, calls, cost_bp)
    traded = ~np.isnan(gains)
    return dataset.timestamps[rows[traded]] + (dataset.horizon + 1) * dataset.bar, gains[traded]


def gains_of_rows(
    dataset: Dataset, rows: np.ndarray, calls: np.ndarray, cost_bp: float = DEFAULT_COST_BP
) -> np.ndarray:
    """Net return of the trade that each row leads to, as a fraction of all capital `[N]`; NaN where none is made."""
    symbols = len(dataset.symbol_names)
    gains = np.full(len(rows), np.nan)
    # Where the price at the end is not known (before a gap, at the end of val), no trade is made.
    calls = np.where(np.isnan(dataset.trade_returns[rows]), HOLD, calls)
    for symbol in range(symbols):
        mine = np.flatnonzero(dataset.symbols[rows] == symbol)
        taken = mine[trades_taken(dataset.timestamps[rows[mine]], calls[mine], dataset.horizon * dataset.bar)]
        side = np.where(calls[taken] == BUY, 1.0, -1.0)
        moved = np.expm1(dataset.trade_returns[rows[taken]].astype(np.float64))
        gains[taken] = (side * moved - cost_bp / 1e4) / symbols
    return gains


def _daily(when: np.ndarray, gains: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Sums of gains by UTC day, a value for each day from the first row to the last, `[D]`."""
    first = int(timestamps.min()) // _DAY
    last = max(int(timestamps.max()), int(when.max(initial=0))) // _DAY
    return np.bincount(when // _DAY - first, weights=gains, minlength=last - first + 1)


def _log_prices(dataset: Dataset, own: np.ndarray) -> float:
    """Log return of holding one symbol from its first of these rows to its last."""
    return float(dataset.log_prices[own[-1]] - dataset.log_prices[own[0]])
