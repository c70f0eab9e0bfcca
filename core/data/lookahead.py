"""A guard against features that know the future: a column made with later bars predicts them too well.

Tests of their code prove that the built-in features do not look ahead. A column that a user brings can only be compared
with the future: with the return over the horizon, with that of each bar in it, with the size of the return over the
horizon and of that of the next bar, and with the labels. Its change from bar to bar is compared, too: the closing price
of the next bar is a level that correlates with nothing, but its change is the next return.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.signal import correlate
from scipy.stats import rankdata

from core.data.labels import CLASSES
from core.data.market import SymbolData

_MAX_RETURN_CORRELATION = 0.3
"""Limit of the absolute rank correlation with a return; no built-in feature of bars of 5 to 60 minutes exceeds 0.1."""
_MAX_SIZE_CORRELATION = 0.7
"""Limit of the absolute rank correlation with the size of a return; built-in measures of volatility reach 0.5."""
_MAX_CLASS_AUC = 0.85
"""Limit of the AUC of a label against the two others; built-in measures of volatility reach 0.75 for HOLD."""


def find_lookahead(
    data: SymbolData, columns: Mapping[str, int], train: np.ndarray, labels: np.ndarray, horizon: int
) -> tuple[str, str] | None:
    """Find a column that seems to know the future.

    Args:
        data: rows of a symbol.
        columns: names of the columns to examine, with their positions in `data.features`.
        train: train rows, none of them the first of the symbol and each with its whole label inside the data, `[N]`.
        labels: label of each row of the symbol, `[T]`.
        horizon: number of bars that a label looks ahead.

    Returns:
        Name of the first such column, and what it predicts too well, as a clause; None if no column does.
    """
    if not columns:
        return None
    horizon_return = data.returns[train]
    bar_returns = np.diff(data.log_prices, append=data.log_prices[-1])
    horizon_ranks, bar_ranks = _ranks(horizon_return), _ranks(bar_returns)
    sizes = {
        "the return over the horizon": _ranks(np.abs(horizon_return)),
        "the return of the next bar": _ranks(np.abs(bar_returns[train])),
    }

    def findings(values: np.ndarray) -> Iterator[str]:
        value, change = _ranks(values[train]), _ranks(values[train] - values[train - 1])
        for noun, ranks in (("value", value), ("change from bar to bar", change)):
            yield from _exceeding(noun, _correlation(ranks, horizon_ranks), "the return over the horizon")
            ahead, correlation = _strongest_ahead(ranks, train, bar_ranks, horizon)
            yield from _exceeding(noun, correlation, f"the return of bar t+{ahead}")
        for name, ranks in sizes.items():
            yield from _exceeding("value", _correlation(value, ranks), f"the size of {name}", _MAX_SIZE_CORRELATION)
        yield from _separating(value, labels[train])

    for name, position in columns.items():
        for finding in findings(data.features[:, position]):
            return name, finding
    return None


def _exceeding(noun: str, correlation: float, future: str, limit: float = _MAX_RETURN_CORRELATION) -> Iterator[str]:
    """Yield a rank correlation, in words, if it exceeds a limit."""
    if abs(correlation) > limit:
        yield f"its {noun} has rank correlation {correlation:+.2f} with {future} (the limit is {limit})"


def _strongest_ahead(ranks: np.ndarray, train: np.ndarray, bar_ranks: np.ndarray, horizon: int) -> tuple[int, float]:
    """Find the bar of the horizon whose return correlates most with a column.

    Args:
        ranks: ranks of the column in the train rows, less their mean, `[N]`.
        train: train rows, `[N]`.
        bar_ranks: ranks of the return from each row to the next, less their mean, `[T]`.
        horizon: number of bars ahead to examine.

    Returns:
        How many bars ahead it is, from 1, and the rank correlation.
    """
    column = np.zeros(len(bar_ranks))
    column[train] = ranks
    # All lags at once, by FFT. Rows after a gap count as if they followed: they are few.
    products = correlate(bar_ranks, column, mode="full", method="fft")[len(column) - 1 :][:horizon]
    norm = np.sqrt((ranks @ ranks) * (bar_ranks @ bar_ranks) * len(train) / len(bar_ranks))
    ahead = int(np.abs(products).argmax())
    return ahead + 1, float(products[ahead] / norm) if norm > 0 else 0.0


def _separating(ranks: np.ndarray, labels: np.ndarray) -> Iterator[str]:
    """Yield the labels that a column separates from the others with a larger AUC than the limit."""
    for label, name in enumerate(CLASSES):
        area = _auc(ranks, labels == label)
        if max(area, 1 - area) > _MAX_CLASS_AUC:
            yield f"its value tells {name} from the rest with an AUC of {area:.2f} (the limit is {_MAX_CLASS_AUC})"


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks of values `[N]`, less their mean."""
    ranks = rankdata(values)
    return np.asarray(ranks - ranks.mean())


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return the correlation of two columns `[N]` whose mean is 0; 0 if one of them is constant."""
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm > 0 else 0.0


def _auc(ranks: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC curve of ranks whose mean is 0 (Mann & Whitney 1947); 0.5 if one side is empty."""
    count = int(positive.sum())
    others = len(positive) - count
    return 0.5 + float(ranks[positive].sum()) / (count * others) if count and others else 0.5
