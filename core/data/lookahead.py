"""A guard against features that know the future: a column made with later bars predicts them too well.

Tests of their code prove that the built-in features do not look ahead. A column that a user brings can only be compared
with the future: with the return over the horizon, with that of each bar in it, with the size of the return over the
horizon and of that of the next bar, and with the labels. Its change from bar to bar is compared, too: the closing price
of the next bar is a level that correlates with nothing, but its change is the next return.

A column may also know a time that is longer than the horizon, of which the horizon is a small part: the return of a
whole day, say, published as the day begins, and held until the next. A column that keeps its values is therefore
compared, where it gets a new one, with the return over as many bars as it usually keeps one, and every column with
returns beyond the horizon. Where few samples do not overlap, the limits are higher: no honest column exceeds them by
chance.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np
from scipy.signal import correlate
from scipy.stats import rankdata

from core.config import DataConfig
from core.data.bars import match_columns
from core.data.labels import CLASSES
from core.data.market import Market, SymbolData
from core.errors import ConfigError, DataError

_MAX_RETURN_CORRELATION = 0.3
"""Limit of the absolute rank correlation with a return in many samples; no built-in feature of bars of 5 to 60 minutes
exceeds 0.1."""
_MAX_SIZE_CORRELATION = 0.7
"""Limit of the absolute rank correlation with the size of a return in many samples; built-in measures of volatility
reach 0.5."""
_USUAL_CLASS_AUC = 0.6
"""AUC of a label against the two others that honest columns have."""
_CHANCE = 5.0
"""Number of standard errors beyond which a correlation is not by chance: honest columns that wander, such as prices,
have a high one with later returns more often than independent columns would."""
_USUAL_SIZE_CORRELATION = 0.5
"""Rank correlation with the size of a return that honest measures of volatility have."""
_MIN_SAMPLES = 10
"""Number of samples that do not overlap, below which nothing is said."""
_MIN_SAMPLES_AHEAD = 50
"""The same for spans that nothing in the column points at, of which there are several."""
_MAX_SAMPLES = 10_000
"""Number of samples after which no more are taken: the limit is the least one already."""
_SPAN_FACTOR = 4
"""Ratio of one time beyond the horizon to the next longer one with whose return a column is compared."""
_MAX_CLASS_AUC = 0.85
"""Limit of the AUC of a label against the two others in many samples; built-in measures of volatility reach 0.75 for
HOLD."""


def check_exceptions(market: Market, config: DataConfig) -> None:
    """Refuse a pattern of `allow_lookahead` that matches no named feature, such as a misspelled one.

    Raises:
        ConfigError: there is such a pattern.
    """
    named = market.feature_names[len(market.feature_names) - market.named_count :]
    for pattern in config.allow_lookahead:
        if not match_columns(named, [pattern]):
            raise ConfigError(
                f"allow_lookahead: {pattern} matches no named feature",
                f"Leave it out, or name one of: {', '.join(named)}" if named else "Leave it out: no feature is named",
            )


def check_columns(market: Market, data: SymbolData, train: np.ndarray, labels: np.ndarray, config: DataConfig) -> None:
    """Refuse a named feature that knows the future; tests prove that the built-in features do not.

    Args:
        market: rows of all symbols, whose last features are the named ones.
        data: rows of the symbol to examine.
        train: its train rows, see `find_lookahead`, `[N]`.
        labels: label of each of its rows, `[T]`.
        config: settings of the horizon, and of columns that are not examined.

    Raises:
        DataError: a column knows the future, or the symbol's price never moves.
    """
    if market.named_count and np.ptp(data.returns[train]) == 0:
        raise DataError(
            f"The forward return of {data.symbol} is the same in every train row",
            "Correct that column, or drop the symbol",
        )
    first = len(market.feature_names) - market.named_count
    named = market.feature_names[first:]
    permitted = match_columns(named, config.allow_lookahead)
    columns = {name: first + i for i, name in enumerate(named) if name not in permitted}
    found = find_lookahead(data, columns, train, labels, config.horizon)
    if found:
        name, finding = found
        raise DataError(
            f"Feature {name} of {data.symbol} seems to look into the future: {finding}",
            f"Drop it, or if it is legitimate add allow_lookahead: {json.dumps([name])}",
        )


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
    # Nothing after the labels of the train rows is read.
    bar_returns = np.diff(data.log_prices)[: train[-1] + horizon]
    horizon_ranks, bar_ranks = _ranks(horizon_return), _ranks(bar_returns)
    samples = len(train) / horizon  # that do not overlap
    size_limit = _limit(samples, _USUAL_SIZE_CORRELATION, _MAX_SIZE_CORRELATION)
    sizes = {
        "the return over the horizon": (_ranks(np.abs(horizon_return)), size_limit),
        "the return of the next bar": (
            _ranks(np.abs(bar_returns[train])),
            _limit(len(train), _USUAL_SIZE_CORRELATION, _MAX_SIZE_CORRELATION),
        ),
    }

    def findings(values: np.ndarray) -> Iterator[str]:
        value, change = _ranks(values[train]), _ranks(values[train] - values[train - 1])
        for noun, ranks in (("value", value), ("change from bar to bar", change)):
            correlation = _correlation(ranks, horizon_ranks)
            yield from _exceeding(noun, correlation, "the return over the horizon", _limit(samples))
            for ahead, correlation, limit in _strongest_ahead(ranks, train, bar_ranks, horizon):
                yield from _exceeding(noun, correlation, f"the return of bar t+{ahead}", limit)
        for name, (ranks, limit) in sizes.items():
            yield from _exceeding("value", _correlation(value, ranks), f"the size of {name}", limit)
        yield from _separating(value, labels[train], samples)
        yield from _knowing_later(values, data.log_prices, train, horizon)

    for name, position in columns.items():
        for finding in findings(data.features[:, position]):
            return name, finding
    return None


def _exceeding(noun: str, correlation: float, future: str, limit: float) -> Iterator[str]:
    """Yield a rank correlation, in words, if it exceeds a limit."""
    if abs(correlation) > limit:
        yield f"its {noun} has rank correlation {correlation:+.2f} with {future} (the limit is {limit:.2g})"


def _strongest_ahead(
    ranks: np.ndarray, train: np.ndarray, bar_ranks: np.ndarray, horizon: int
) -> Iterator[tuple[int, float, float]]:
    """Find the bar of the horizon, and that of a longer time, whose return correlates most with a column.

    Args:
        ranks: ranks of the column in the train rows, less their mean, `[N]`.
        train: train rows, `[N]`.
        bar_ranks: ranks of the return from each row to the next, less their mean, `[T]`.
        horizon: number of bars that a label looks ahead.

    Yields:
        How many bars ahead it is, from 1, the rank correlation, and its limit.
    """
    column = np.zeros(train[-1] + 1)
    column[train] = ranks
    # All lags at once, by FFT. Rows after a gap count as if they followed: they are few.
    products = correlate(bar_ranks, column, mode="full", method="fft")[len(column) - 1 :]
    norm = np.sqrt((ranks @ ranks) * (bar_ranks @ bar_ranks) * len(train) / len(bar_ranks))
    # The returns of a feature table overlap over the horizon.
    limits = {horizon: _limit(len(train)), len(train) // _MIN_SAMPLES: _limit(len(train) / horizon)}
    for bars, limit in limits.items():
        if norm > 0 and bars >= horizon:
            ahead = int(np.abs(products[:bars]).argmax())
            yield ahead + 1, float(products[ahead] / norm), limit


def _limit(samples: float, usual: float = 0.0, least: float = _MAX_RETURN_CORRELATION) -> float:
    """Return the correlation that an honest column cannot have by chance, but at least that for many samples.

    Args:
        samples: number of independent samples.
        usual: correlation that honest columns have.
        least: limit for many samples.
    """
    # Fisher's z has a standard error that depends on the number of samples alone.
    chance = _CHANCE / np.sqrt(max(samples - 3, 1.0))
    return max(least, float(np.tanh(np.arctanh(usual) + chance)))


def _knowing_later(values: np.ndarray, log_prices: np.ndarray, train: np.ndarray, horizon: int) -> Iterator[str]:
    """Yield what a column knows of the time for which it keeps its values, and of times beyond the horizon.

    Args:
        values: the column, `[T]`.
        log_prices: log closing prices, `[T]`.
        train: train rows, `[N]`.
        horizon: number of bars that a label looks ahead.
    """
    renewed = train[values[train] != values[train - 1]]
    held = int(np.median(np.diff(renewed))) if len(renewed) > 1 else 1
    if held > 1:
        rows = _apart(renewed, 3 * held // 4)  # not the whole time: updates may be late
        # The bar with the new value closes when a part of the time has passed.
        yield from _knowing_span(
            values, log_prices, rows[rows + held <= train[-1]], held - 1, horizon, "for which it keeps a value"
        )
    span = horizon * _SPAN_FACTOR
    while len(train) >= span * _MIN_SAMPLES_AHEAD:
        rows = train[::span]
        yield from _knowing_span(values, log_prices, rows[rows + span <= train[-1]], span, horizon, "ahead")
        span *= _SPAN_FACTOR


def _apart(rows: np.ndarray, distance: int) -> np.ndarray:
    """Return rows, from the first on, each of which is at least this distance from the one before."""
    chosen = [0]
    while len(chosen) < _MAX_SAMPLES and (following := int(np.searchsorted(rows, rows[chosen[-1]] + distance))) < len(
        rows
    ):
        chosen.append(following)
    return np.asarray(rows[chosen])


def _knowing_span(
    values: np.ndarray, log_prices: np.ndarray, rows: np.ndarray, span: int, horizon: int, what: str
) -> Iterator[str]:
    """Yield what a column knows of the return over a span, from samples that do not overlap.

    Args:
        values: the column, `[T]`.
        log_prices: log closing prices, `[T]`.
        rows: rows from which the span is counted, `[N]`.
        span: number of bars.
        horizon: number of bars that a label looks ahead, over which the returns of a feature table overlap.
        what: words that tell the span from others.
    """
    if len(rows) < _MIN_SAMPLES:
        return
    rows = rows[:_MAX_SAMPLES]
    returns = log_prices[rows + span] - log_prices[rows]
    samples = len(rows) * min(1.0, span / horizon)
    future = f"the return over the {span} bars {what}"
    value, change = _ranks(values[rows]), _ranks(values[rows] - values[rows - 1])
    later, size = _ranks(returns), _ranks(np.abs(returns))
    for noun, ranks in (("value", value), ("change from bar to bar", change)):
        yield from _exceeding(noun, _correlation(ranks, later), future, _limit(samples))
    limit = _limit(samples, _USUAL_SIZE_CORRELATION, _MAX_SIZE_CORRELATION)
    yield from _exceeding("value", _correlation(value, size), f"the size of {future}", limit)


def _separating(ranks: np.ndarray, labels: np.ndarray, samples: float) -> Iterator[str]:
    """Yield the labels that a column separates from the others with a larger AUC than the limit.

    Args:
        ranks: ranks of the column in the train rows, less their mean, `[N]`.
        labels: labels of these rows, `[N]`.
        samples: how many of them do not overlap.
    """
    for label, name in enumerate(CLASSES):
        share = float((labels == label).mean())
        if not 0 < share < 1:
            continue
        chance = _CHANCE / np.sqrt(12 * samples * share * (1 - share))  # Mann & Whitney 1947
        limit = max(_MAX_CLASS_AUC, _USUAL_CLASS_AUC + float(chance))
        area = _auc(ranks, labels == label)
        if max(area, 1 - area) > limit:
            yield f"its value tells {name} from the rest with an AUC of {area:.2f} (the limit is {limit:.2g})"


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
